// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include <algorithm>

namespace trunkline {

TimerWheel::TimerWheel(TimePoint start) : start_(start) {}

std::uint64_t TimerWheel::tick_of(TimePoint time) const {
  return time <= start_ ? 0 : static_cast<std::uint64_t>((time - start_) / kTick);
}

void TimerWheel::place(Timer& timer) {
  // Rounded up: a timer is late by up to a tick, never early.
  const std::uint64_t tick = std::max(tick_of(timer.due_ + kTick - Duration{1}), tick_);
  const std::uint64_t distance = tick - tick_;
  std::size_t level = 0;
  while (level + 1 < kLevels && distance >= (1ULL << (kBits * (level + 1)))) {
    ++level;
  }
  // Beyond the last level it waits in the farthest slot and is placed again from there.
  const std::uint64_t reach = (1ULL << (kBits * kLevels)) - 1;
  const std::uint64_t slot_tick = std::min(tick, tick_ + reach);
  wheel_[level][(slot_tick >> (kBits * level)) & (kSlots - 1)].push_back(timer);
}

void TimerWheel::arm(Timer& timer, TimePoint due) {
  timer.unlink();
  timer.due_ = due;
  place(timer);
}

void TimerWheel::cascade(std::size_t level) {
  if (level == kLevels) {
    return;
  }
  const std::size_t index = (tick_ >> (kBits * level)) & (kSlots - 1);
  if (index == 0) {
    cascade(level + 1);
  }
  Slot moving;
  moving.splice_back(wheel_[level][index]);
  while (Timer* timer = moving.pop_front()) {
    place(*timer);
  }
}

bool TimerWheel::cascades_at(std::uint64_t tick) const {
  for (std::size_t level = 1; level < kLevels; ++level) {
    if ((tick & ((1ULL << (kBits * level)) - 1)) != 0) {
      return false;
    }
    if (!wheel_[level][(tick >> (kBits * level)) & (kSlots - 1)].empty()) {
      return true;
    }
  }
  return false;
}

std::optional<std::uint64_t> TimerWheel::next_busy_tick() const {
  for (std::uint64_t i = 0; i < kSlots; ++i) {
    if (!wheel_[0][(tick_ + i) & (kSlots - 1)].empty() || cascades_at(tick_ + i)) {
      return tick_ + i;
    }
  }
  for (std::size_t level = 1; level < kLevels; ++level) {
    const std::uint64_t base = tick_ >> (kBits * level);
    for (std::uint64_t i = 1; i <= kSlots; ++i) {
      const std::uint64_t tick = (base + i) << (kBits * level);
      if (!wheel_[level][(base + i) & (kSlots - 1)].empty() || cascades_at(tick)) {
        return tick;
      }
    }
  }
  return std::nullopt;
}

void TimerWheel::advance(TimePoint now) {
  const std::uint64_t target = tick_of(now);
  while (tick_ <= target) {
    const std::optional<std::uint64_t> busy = next_busy_tick();
    if (!busy.has_value() || *busy > target) {
      tick_ = target + 1;
      return;
    }
    tick_ = *busy;
    const std::size_t index = tick_ & (kSlots - 1);
    if (index == 0) {
      cascade(1);
    }
    Slot due;
    due.splice_back(wheel_[0][index]);
    // The tick counts as past while its timers run, so that one armed for now fires next time.
    ++tick_;
    while (Timer* timer = due.pop_front()) {
      timer->on_timer(now);
    }
  }
}

std::optional<TimePoint> TimerWheel::next_wakeup() const {
  const std::optional<std::uint64_t> busy = next_busy_tick();
  if (!busy.has_value()) {
    return std::nullopt;
  }
  return start_ + static_cast<Duration::rep>(*busy) * kTick;
}

}  // namespace trunkline
