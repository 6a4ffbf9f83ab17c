// SPDX-License-Identifier: Apache-2.0
//
// Whether a thread that has nothing to do looks for the next event for a moment before it sleeps.
// Waking a core that sleeps takes ten times as long as a call between two nodes of one machine. It
// is tried where events come soon after each other, and left where somebody else wants the core.
// The idea is the Linux kernel's for virtual machines (Documentation/virt/kvm/halt-polling.rst).
#pragma once

#include "core/time.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace trunkline::net {

// Time is told. Thread: the one that polls.
class BusyPoll {
 public:
  using Duration = std::chrono::nanoseconds;

  // Looks for so long at most; 0: never.
  explicit BusyPoll(Duration longest) : longest_(longest) {}

  // Nothing is there to do. False: sleep.
  [[nodiscard]] bool begin(TimePoint now) {
    if (longest_ == Duration(0) || credit_ < kCreditNeeded || now < not_before_) {
      return false;
    }
    began_ = now;
    last_ = now;
    return true;
  }

  // An event has come while it was polling.
  void found() { credit_ = std::min(credit_ + 1, kCreditMax); }

  // Before each look. False: sleep, if there is nothing.
  [[nodiscard]] bool goes_on(TimePoint now) {
    const Duration gap = now - std::exchange(last_, now);
    polled_ += gap;
    if (gap > kGap) {
      others_ += gap;
    }
    if (polled_ > kWatched) {
      judge(now);
    }
    if (now - began_ < longest_) {
      return true;
    }
    credit_ = std::max(credit_ - kMissed, 0);
    return false;
  }

  // It slept for so long, and then there was something to do.
  void slept(Duration time) {
    // Polling would have found it, and part of the time was the waking.
    if (time < 2 * longest_) {
      credit_ = std::min(credit_ + 1, kCreditMax);
    }
  }

 private:
  // Others have run between two looks: the system's own work takes a few parts in a hundred,
  // somebody who wants the core takes half of it or more.
  void judge(TimePoint now) {
    if (others_ * 2 > polled_) {
      not_before_ = now + pause_;
      pause_ = std::min(pause_ * 2, kPauseMax);
    } else {
      pause_ = std::max(pause_ / 2, kPauseMin);
    }
    polled_ = others_ = Duration(0);
  }

  static constexpr int kCreditMax = 16;
  static constexpr int kCreditNeeded = 8;
  static constexpr int kMissed = 8;  // costs so much
  static constexpr Duration kGap = std::chrono::microseconds(20);
  static constexpr Duration kWatched = std::chrono::microseconds(500);
  static constexpr Duration kPauseMin = std::chrono::milliseconds(1);
  static constexpr Duration kPauseMax = std::chrono::seconds(1);

  Duration longest_;
  int credit_ = kCreditMax;
  TimePoint began_ = TimePoint::min();
  TimePoint last_ = TimePoint::min();
  // Of pauses for others' sake.
  Duration pause_ = kPauseMin;
  TimePoint not_before_{};
  Duration polled_{};
  Duration others_{};  // of it
};

}  // namespace trunkline::net
