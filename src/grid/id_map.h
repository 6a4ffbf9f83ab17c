// SPDX-License-Identifier: Apache-2.0
//
// From a call's id on the wire to where it is kept. Open addressing with linear probing: a call
// that begins and ends in steady state allocates nothing. Erasing moves what follows back, so there
// are no tombstones and a lookup of an id that has ended stays short.
#pragma once

#include "core/assert.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace trunkline::grid {

// Ids are not 0. Values are small. Thread: the owner's.
class IdMap {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  [[nodiscard]] std::size_t size() const { return size_; }

  // kNone when there is none.
  [[nodiscard]] std::uint32_t find(std::uint64_t id) const {
    if (size_ == 0) {
      return kNone;
    }
    for (std::size_t at = home(id); slots_[at].id != 0; at = (at + 1) & (capacity_ - 1)) {
      if (slots_[at].id == id) {
        return slots_[at].value;
      }
    }
    return kNone;
  }

  // The id must not be in it.
  void insert(std::uint64_t id, std::uint32_t value) {
    TRUNKLINE_DCHECK(id != 0 && find(id) == kNone);
    if ((size_ + 1) * 4 > capacity_ * 3) {
      grow();
    }
    place(id, value);
    ++size_;
  }

  // The id must be in it.
  void erase(std::uint64_t id) {
    std::size_t at = home(id);
    while (slots_[at].id != id) {
      TRUNKLINE_ASSERT(slots_[at].id != 0);
      at = (at + 1) & (capacity_ - 1);
    }
    std::size_t hole = at;
    for (std::size_t next = (at + 1) & (capacity_ - 1); slots_[next].id != 0;
         next = (next + 1) & (capacity_ - 1)) {
      // It may move into the hole unless its home lies behind the hole.
      const std::size_t from_home = (next - home(slots_[next].id)) & (capacity_ - 1);
      const std::size_t from_hole = (next - hole) & (capacity_ - 1);
      if (from_home >= from_hole) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole] = {};
    --size_;
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    std::uint32_t value = 0;
  };

  // Ids come in steps of two: multiplied by the golden ratio they spread.
  [[nodiscard]] std::size_t home(std::uint64_t id) const {
    return static_cast<std::size_t>((id * 0x9e3779b97f4a7c15U) >> 32U) & (capacity_ - 1);
  }

  void place(std::uint64_t id, std::uint32_t value) {
    std::size_t at = home(id);
    while (slots_[at].id != 0) {
      at = (at + 1) & (capacity_ - 1);
    }
    slots_[at] = {id, value};
  }

  void grow() {
    const std::unique_ptr<Slot[]> old = std::move(slots_);
    const std::size_t old_capacity = capacity_;
    capacity_ = capacity_ == 0 ? 16 : capacity_ * 2;
    slots_ = std::make_unique<Slot[]>(capacity_);
    for (std::size_t at = 0; at < old_capacity; ++at) {
      if (old[at].id != 0) {
        place(old[at].id, old[at].value);
      }
    }
  }

  std::unique_ptr<Slot[]> slots_;
  std::size_t capacity_ = 0;  // a power of two
  std::size_t size_ = 0;
};

}  // namespace trunkline::grid
