// SPDX-License-Identifier: Apache-2.0
//
// A queue with random access in one growing block. std::deque costs about 600 bytes before its
// first element; a channel's index must cost nothing until it is used.
#pragma once

#include "core/assert.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace trunkline {

// Elements are numbered 0 … size()-1 from the front. Capacity is a power of two, at most 2^31,
// and shrinks by clear() only. Thread: owning shard.
template <class T>
class Ring {
 public:
  Ring() = default;

  Ring(Ring&& other) noexcept
      : slots_(std::move(other.slots_)),
        capacity_(std::exchange(other.capacity_, 0)),
        head_(std::exchange(other.head_, 0)),
        size_(std::exchange(other.size_, 0)) {}

  Ring& operator=(Ring&& other) noexcept {
    slots_ = std::move(other.slots_);
    capacity_ = std::exchange(other.capacity_, 0);
    head_ = std::exchange(other.head_, 0);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() = default;

  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] bool empty() const { return size_ == 0; }

  [[nodiscard]] std::size_t capacity_bytes() const { return capacity_ * sizeof(T); }

  T& operator[](std::size_t index) { return slots_[(head_ + index) & (capacity_ - 1)]; }

  const T& operator[](std::size_t index) const { return slots_[(head_ + index) & (capacity_ - 1)]; }

  T& front() { return (*this)[0]; }

  const T& front() const { return (*this)[0]; }

  T& back() { return (*this)[size_ - 1]; }

  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(T value) {
    if (size_ == capacity_) {
      grow();
    }
    ++size_;
    back() = std::move(value);
  }

  void pop_front() {
    TRUNKLINE_ASSERT(size_ > 0);
    front() = T{};
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
  }

  void clear() { *this = Ring{}; }

 private:
  static constexpr std::uint32_t kCapacityMax = 1U << 31U;

  void grow() {
    TRUNKLINE_ASSERT(capacity_ <= kCapacityMax / 2);
    const std::uint32_t wider = capacity_ == 0 ? 4 : capacity_ * 2;
    auto slots = std::make_unique<T[]>(wider);
    for (std::size_t i = 0; i < size_; ++i) {
      slots[i] = std::move((*this)[i]);
    }
    slots_ = std::move(slots);
    capacity_ = wider;
    head_ = 0;
  }

  std::unique_ptr<T[]> slots_;
  std::uint32_t capacity_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace trunkline
