// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/peer_types.h>

#include "core/time.h"

#include <cstdint>

namespace trunkline::peers {

struct BreakerSettings {
  std::uint32_t failures = 5;  // 0: it never opens
  Duration open = std::chrono::seconds(30);
  Duration open_max = std::chrono::minutes(5);
};

// The circuit breaker of one address.
//
//   closed --`failures` failed dials in a row--> open
//   open --its time is over, a dial is asked for--> half-open, and that dial is the one probe
//   half-open --the probe succeeds--> closed
//   half-open --the probe fails--> open, twice as long
//   half-open --the probe is given up--> open, with its time over: the next dial is the probe
//
// Thread: the owner's.
class Breaker {
 public:
  [[nodiscard]] BreakerState state() const { return state_; }

  // The earliest moment at which a dial may start; `now` when it may at once. While a probe is
  // under way none may.
  [[nodiscard]] TimePoint next_dial(TimePoint now) const {
    return state_ == BreakerState::kOpen && open_until_ > now ? open_until_ : now;
  }

  [[nodiscard]] bool is_probing() const { return state_ == BreakerState::kHalfOpen; }

  // Each of them returns whether the state changed.
  bool on_dial() {
    if (state_ != BreakerState::kOpen) {
      return false;
    }
    state_ = BreakerState::kHalfOpen;
    return true;
  }

  bool on_success() {
    const bool changed = state_ != BreakerState::kClosed;
    state_ = BreakerState::kClosed;
    return changed;
  }

  // The connection has stood long enough. Until then the failures before it still count, so that a
  // peer that accepts and drops opens the breaker again at its first drop.
  void on_good() {
    failures_ = 0;
    openings_ = 0;
  }

  bool on_failure(const BreakerSettings& settings, TimePoint now);

  bool on_given_up() {
    if (state_ != BreakerState::kHalfOpen) {
      return false;
    }
    state_ = BreakerState::kOpen;
    return true;
  }

 private:
  TimePoint open_until_;
  std::uint32_t failures_ = 0;  // in a row
  std::uint8_t openings_ = 0;   // in a row
  BreakerState state_ = BreakerState::kClosed;
};

}  // namespace trunkline::peers
