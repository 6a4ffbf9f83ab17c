// SPDX-License-Identifier: Apache-2.0
//
// How often something may happen. A bucket holds up to `count` tokens and gets `count` of them back
// over each `interval`; what happens takes one. So `count` may come at once, and no more than twice
// `count` in any interval.
//
// Kept as one moment, the time when the bucket will be full again (the "generic cell rate
// algorithm" of ATM, I.371): nothing has to be refilled, and no fraction of a token gets lost.
#pragma once

#include "core/time.h"

#include <algorithm>
#include <cstdint>

namespace trunkline {

// `count` an `interval`. Both must be above zero.
struct Rate {
  std::uint32_t count = 1;
  Duration interval = std::chrono::seconds(1);

  friend bool operator==(const Rate&, const Rate&) = default;
};

// Thread: the owner's.
class TokenBucket {
 public:
  // Full. A rate of more than one a nanosecond counts as one a nanosecond.
  explicit TokenBucket(Rate rate)
      : interval_(rate.interval),
        token_(std::max<Duration>(rate.interval / std::max(rate.count, 1U), Duration{1})) {}

  // Whether there is a token now.
  [[nodiscard]] bool has(TimePoint now) const { return after_one_more(now) <= now + interval_; }

  // Takes one; false when there is none, and nothing was taken.
  bool try_take(TimePoint now) {
    const bool there = has(now);
    if (there) {
      full_at_ = after_one_more(now);
    }
    return there;
  }

  // Takes one if there is one; for what happens whether it may or not. There is no debt.
  void charge(TimePoint now) { try_take(now); }

  // A token that was taken was not used.
  void give_back() { full_at_ -= token_; }

  // When there will be a token: `now` when there is one.
  [[nodiscard]] TimePoint next(TimePoint now) const {
    return std::max(now, full_at_ + token_ - interval_);
  }

 private:
  [[nodiscard]] TimePoint after_one_more(TimePoint now) const {
    return std::max(full_at_, now) + token_;
  }

  Duration interval_;
  Duration token_;  // the time that gives one
  // Long ago, whatever the clock's zero is; not the minimum, from which nothing may be taken.
  TimePoint full_at_{Duration::min() / 2};
};

}  // namespace trunkline
