// SPDX-License-Identifier: Apache-2.0
//
// From a call's id on the wire to where it is kept. Open addressing with linear probing: a call
// that begins and ends in steady state allocates nothing. Erasing moves what follows back, so there
// are no tombstones and a lookup of an id that has ended stays short.
//
// A slot has the id folded to half of its size, which is nearly always enough to tell that it is
// another; the call has all of it, and who looks a call up looks at it anyway.
#pragma once

#include "core/assert.h"
#include "grid/call_table.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace trunkline::grid {

// Thread: the owner's.
class IdMap {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  // `calls` must outlive it. A call that is in it keeps its place and its wire_id.
  explicit IdMap(const CallTable& calls) : calls_(calls) {}

  [[nodiscard]] std::size_t size() const { return size_; }

  // A call's index; kNone when there is none.
  [[nodiscard]] std::uint32_t find(std::uint64_t id) const {
    if (size_ == 0) {
      return kNone;
    }
    const std::uint32_t part = folded(id);
    for (std::size_t at = home(part); slots_[at].index != kNone; at = after(at)) {
      if (slots_[at].folded == part && calls_[slots_[at].index].wire_id == id) {
        return slots_[at].index;
      }
    }
    return kNone;
  }

  // No call with its id must be in it.
  void insert(const Call& call) {
    TRUNKLINE_DCHECK(call.wire_id != 0 && find(call.wire_id) == kNone);
    if ((size_ + 1) * 4 > capacity_ * 3) {
      grow();
    }
    place({.folded = folded(call.wire_id), .index = call.index});
    ++size_;
  }

  // The call must be in it.
  void erase(const Call& call) {
    TRUNKLINE_ASSERT(size_ > 0);
    std::size_t hole = home(folded(call.wire_id));
    while (slots_[hole].index != call.index) {
      TRUNKLINE_ASSERT(slots_[hole].index != kNone);
      hole = after(hole);
    }
    for (std::size_t next = after(hole); slots_[next].index != kNone; next = after(next)) {
      // It may move into the hole unless its home lies behind the hole.
      const std::size_t from_home = (next - home(slots_[next].folded)) & (capacity_ - 1);
      const std::size_t from_hole = (next - hole) & (capacity_ - 1);
      if (from_home >= from_hole) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole] = {};
    --size_;
  }

  // Lets go of its memory. It must be empty.
  void shed() {
    TRUNKLINE_ASSERT(size_ == 0);
    slots_.reset();
    capacity_ = 0;
  }

 private:
  struct Slot {
    std::uint32_t folded = 0;
    std::uint32_t index = kNone;
  };

  [[nodiscard]] static std::uint32_t folded(std::uint64_t id) {
    return static_cast<std::uint32_t>(id ^ (id >> 32U) * 0x9e3779b9U);
  }

  // Ids come in steps of two: multiplied by the golden ratio they spread.
  [[nodiscard]] std::size_t home(std::uint32_t part) const {
    return static_cast<std::size_t>((part * 0x9e3779b97f4a7c15U) >> 32U) & (capacity_ - 1);
  }

  [[nodiscard]] std::size_t after(std::size_t at) const { return (at + 1) & (capacity_ - 1); }

  void place(Slot slot) {
    std::size_t at = home(slot.folded);
    while (slots_[at].index != kNone) {
      at = after(at);
    }
    slots_[at] = slot;
  }

  void grow() {
    const std::unique_ptr<Slot[]> old = std::move(slots_);
    const std::size_t old_capacity = capacity_;
    capacity_ = capacity_ == 0 ? 16 : capacity_ * 2;
    slots_ = std::make_unique<Slot[]>(capacity_);
    for (std::size_t at = 0; at < old_capacity; ++at) {
      if (old[at].index != kNone) {
        place(old[at]);
      }
    }
  }

  const CallTable& calls_;
  std::unique_ptr<Slot[]> slots_;
  std::size_t capacity_ = 0;  // a power of two
  std::size_t size_ = 0;
};

}  // namespace trunkline::grid
