// SPDX-License-Identifier: Apache-2.0
//
// Whose turn it is to send. Three classes share the wire by deficit round robin (Shreedhar and
// Varghese, 1995): a class that has something gets its quantum of bytes in each round, so none
// starves, and a small call waits for at most one quantum of each of the others. Inside a class
// calls stand in line and take turns. Control is not here: it always goes first.
#pragma once

#include "core/intrusive_list.h"
#include "grid/call.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace trunkline::grid {

// Thread: owning shard.
class Scheduler {
 public:
  enum Class : std::uint8_t { kSmall, kStreams, kBulk, kClasses };

  // Bytes a round. Small calls are let through even when they alone could fill the wire twice as
  // fast as streams can.
  static constexpr std::array<std::int64_t, kClasses> kQuantum = {64L * 1024, 32L * 1024,
                                                                  16L * 1024};

  // The class of a call's message: by its priority, otherwise small when it fits one piece.
  [[nodiscard]] static Class class_of(const Call& call, std::size_t chunk_bytes) {
    if (call.priority != Priority::kBySize) {
      return static_cast<Class>(static_cast<std::uint8_t>(call.priority) - 1);
    }
    const std::size_t bytes = call.out == nullptr ? 0 : call.out->current.size();
    if (call.kind == CallKind::kRequest) {
      return bytes <= chunk_bytes ? kSmall : kBulk;
    }
    // A message of a stream that takes many pieces is bulk; the stream's small ones are not.
    return bytes <= 16 * chunk_bytes ? kStreams : kBulk;
  }

  // To the end of its class's line. It must not be in one.
  void add(Call& call, Class to) { lines_[to].push_back(call); }

  [[nodiscard]] bool empty() const {
    return lines_[kSmall].empty() && lines_[kStreams].empty() && lines_[kBulk].empty();
  }

  // Takes the call whose turn it is out of its line; nullptr when there is none. What it sends then
  // has to be told by charge().
  Call* next() {
    if (empty()) {
      return nullptr;
    }
    while (true) {
      if (lines_[turn_].empty()) {
        deficit_[turn_] = 0;  // who has nothing saves nothing
      } else if (deficit_[turn_] > 0) {
        return lines_[turn_].pop_front();
      }
      turn_ = static_cast<Class>((turn_ + 1) % kClasses);
      deficit_[turn_] += kQuantum[turn_];
    }
  }

  // Of the class that next() gave last. May go below zero by a piece, which the next round makes
  // up.
  void charge(std::size_t bytes) { deficit_[turn_] -= static_cast<std::int64_t>(bytes); }

 private:
  std::array<IntrusiveList<Call, SendLine>, kClasses> lines_;
  std::array<std::int64_t, kClasses> deficit_{kQuantum[kSmall], 0, 0};
  Class turn_ = kSmall;
};

}  // namespace trunkline::grid
