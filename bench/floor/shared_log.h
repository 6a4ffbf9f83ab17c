// SPDX-License-Identifier: Apache-2.0
//
// The floor's log: a ring of bytes that is mapped twice, one copy behind the other, so that any
// slice of it is contiguous in memory, also across the ring's end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trunkline::bench {

class SharedLog {
 public:
  // Bytes that a cursor may lie behind the head. In a closed loop that is the window's
  // publications, some 15 KiB at 64; small enough to stay in the cache, as a hot tail of a real log
  // does.
  static constexpr std::size_t kCapacity = 1024UL * 1024;

  // Ends the program when the memory cannot be mapped.
  SharedLog();
  SharedLog(const SharedLog&) = delete;
  SharedLog& operator=(const SharedLog&) = delete;
  ~SharedLog();

  // Where the next bytes go; kCapacity of them are contiguous.
  [[nodiscard]] char* tail() { return base_ + head_ % kCapacity; }

  void advance(std::size_t bytes) { head_ += bytes; }

  // Bytes ever written.
  [[nodiscard]] std::uint64_t head() const { return head_; }

  [[nodiscard]] const char* at(std::uint64_t cursor) const { return base_ + cursor % kCapacity; }

 private:
  char* base_ = nullptr;
  std::uint64_t head_ = 0;
};

}  // namespace trunkline::bench
