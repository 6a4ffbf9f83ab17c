// SPDX-License-Identifier: Apache-2.0
//
// What a node may hold for its peers: bytes that were granted to streams and have not been taken by
// the program, and messages that are being put together. One pool for all its connections. It
// counts; a byte is reserved before a peer may send it, so the sum can never be exceeded.
//
// It also keeps the memory of large messages that were put together and that the program only
// looked at, for the next ones: memory that is new to the process costs several times what it costs
// to write a message into it.
#pragma once

#include "core/assert.h"
#include "core/time.h"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

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
    if (bytes > bytes_max_ - used_ - spare_bytes_) {
      drop_buffers();
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

  // Empty, and can hold so many bytes without growing; new when `is_new` is set.
  [[nodiscard]] std::string take_buffer(std::size_t bytes, TimePoint now, bool& is_new) {
    // The smallest that fits, but not one that is far too large.
    const auto fits = [bytes](const std::string& spare) {
      return spare.capacity() >= bytes && spare.capacity() / 8 <= bytes;
    };
    auto best = spares_.end();
    for (auto at = spares_.begin(); at != spares_.end(); ++at) {
      if (fits(*at) && (best == spares_.end() || at->capacity() < best->capacity())) {
        best = at;
      }
    }
    std::string buffer;
    is_new = best == spares_.end();
    if (!is_new) {
      std::swap(*best, spares_.back());
      buffer = std::move(spares_.back());
      spares_.pop_back();
      spare_bytes_ -= buffer.capacity();
      spares_used_ = now;
    }
    buffer.clear();
    buffer.reserve(bytes);
    return buffer;
  }

  // Kept for take_buffer() when it is worth it and nobody needs the room.
  void give_buffer(std::string buffer, TimePoint now) {
    const std::size_t bytes = buffer.capacity();
    if (bytes >= kSpareBytesMin && spares_.size() < kSparesMax &&
        bytes <= bytes_max_ - used_ - spare_bytes_) {
      spare_bytes_ += bytes;
      spares_.push_back(std::move(buffer));
      spares_used_ = now;
    }
  }

  // Lets go of what is kept when nobody has used it for so long.
  void drop_buffers(TimePoint now, Duration unused) {
    if (!spares_.empty() && now - spares_used_ >= unused) {
      drop_buffers();
    }
  }

  [[nodiscard]] std::size_t used() const { return used_; }

  [[nodiscard]] std::size_t bytes_max() const { return bytes_max_; }

 private:
  static constexpr std::size_t kSpareBytesMin = 32UL * 1024;
  static constexpr std::size_t kSparesMax = 16;

  void drop_buffers() {
    spares_ = {};
    spare_bytes_ = 0;
  }

  const std::size_t bytes_max_;
  std::size_t used_ = 0;
  std::vector<std::string> spares_;
  std::size_t spare_bytes_ = 0;
  TimePoint spares_used_{};
};

}  // namespace trunkline::grid
