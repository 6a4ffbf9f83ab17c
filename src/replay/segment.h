// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace trunkline::replay {

// A block of wire bytes that only grows. The home shard writes behind what it has announced; other
// shards read only what they were told about in a mailbox message, which orders the two. The bytes
// live as long as any shard refers to the segment.
class Segment {
 public:
  // `begin`: the position in the channel's byte stream of the first byte.
  Segment(std::uint64_t begin, std::size_t capacity)
      : begin_(begin), capacity_(capacity), bytes_(new char[capacity]) {}

  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() = default;

  [[nodiscard]] std::uint64_t begin() const { return begin_; }

  // Positions of the next segment start here, whether or not the last bytes were used.
  [[nodiscard]] std::uint64_t end() const { return begin_ + capacity_; }

  [[nodiscard]] std::size_t capacity() const { return capacity_; }

  [[nodiscard]] char* at(std::uint64_t position) { return bytes_.get() + (position - begin_); }

  [[nodiscard]] const char* at(std::uint64_t position) const {
    return bytes_.get() + (position - begin_);
  }

 private:
  const std::uint64_t begin_;
  const std::size_t capacity_;
  const std::unique_ptr<char[]> bytes_;
};

using SegmentRef = std::shared_ptr<Segment>;

}  // namespace trunkline::replay
