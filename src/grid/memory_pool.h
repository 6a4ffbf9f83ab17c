// SPDX-License-Identifier: Apache-2.0
//
// What a node may hold for its peers: bytes that were granted to streams and have not been taken by
// the program, and messages that are being put together. One pool for all its connections. It only
// counts; a byte is reserved before a peer may send it, so the sum can never be exceeded.
#pragma once

#include "core/assert.h"

#include <cstddef>

namespace trunkline::grid {

// Thread: owning shard.
class MemoryPool {
 public:
  explicit MemoryPool(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // Everything has to be given back first.
  ~MemoryPool() { TRUNKLINE_DCHECK(used_ == 0); }

  // For what a peer has a right to; false when there is not so much.
  [[nodiscard]] bool try_reserve(std::size_t bytes) {
    if (bytes > bytes_max_ - used_) {
      return false;
    }
    used_ += bytes;
    return true;
  }

  // For what only makes things faster (wider windows): only from the first half, so that those who
  // do not read cannot keep others from putting a message together.
  [[nodiscard]] bool try_reserve_spare(std::size_t bytes) {
    const std::size_t half = bytes_max_ / 2;
    return used_ <= half && bytes <= half - used_ && try_reserve(bytes);
  }

  void release(std::size_t bytes) {
    TRUNKLINE_ASSERT(bytes <= used_);
    used_ -= bytes;
  }

  [[nodiscard]] std::size_t used() const { return used_; }

  [[nodiscard]] std::size_t bytes_max() const { return bytes_max_; }

 private:
  const std::size_t bytes_max_;
  std::size_t used_ = 0;
};

}  // namespace trunkline::grid
