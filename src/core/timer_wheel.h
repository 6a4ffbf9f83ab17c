// SPDX-License-Identifier: Apache-2.0
//
// Many timers, few of which ever fire: pings, pong and write deadlines of all connections of a
// shard. A hashed hierarchical wheel (Varghese and Lauck, 1987): starting and stopping a timer is a
// list operation, whatever their number.
#pragma once

#include "core/intrusive_list.h"
#include "core/time.h"

#include <array>
#include <cstdint>
#include <optional>

namespace trunkline {

class TimerWheel;

// Derive from it and say what happens. A timer is in at most one wheel and leaves it when it is
// destroyed.
class Timer : public ListHook<TimerWheel> {
 public:
  Timer() = default;
  virtual ~Timer() = default;

  // Called once, by TimerWheel::advance, at or after the due time; never early. The timer is not
  // armed any more and may be armed again, or destroyed, from here.
  virtual void on_timer(TimePoint now) = 0;

  [[nodiscard]] bool is_armed() const { return is_linked(); }

  [[nodiscard]] TimePoint due() const { return due_; }

 private:
  friend class TimerWheel;
  TimePoint due_;
};

// Thread: owning shard.
class TimerWheel {
 public:
  // Timers fire up to this much late.
  static constexpr Duration kTick = std::chrono::milliseconds(4);

  explicit TimerWheel(TimePoint start);

  // Arms the timer, or moves it when it is armed already. A due time that has passed fires at the
  // next advance.
  void arm(Timer& timer, TimePoint due);

  void disarm(Timer& timer) { timer.unlink(); }

  // Fires what is due. Time never goes backwards; an earlier `now` does nothing.
  void advance(TimePoint now);

  // When advance has to be called next; nothing when no timer is armed. May be earlier than the
  // next due time, never later than that and a tick.
  [[nodiscard]] std::optional<TimePoint> next_wakeup() const;

 private:
  static constexpr unsigned kBits = 8;
  static constexpr std::size_t kSlots = 1U << kBits;
  static constexpr std::size_t kLevels = 3;  // 1 s, 4.4 min, 18.6 h; beyond that it comes around
  using Slot = IntrusiveList<Timer, TimerWheel>;

  [[nodiscard]] std::uint64_t tick_of(TimePoint time) const;
  void place(Timer& timer);
  void cascade(std::size_t level);
  [[nodiscard]] bool cascades_at(std::uint64_t tick) const;
  // The first tick from now on that fires or moves a timer.
  [[nodiscard]] std::optional<std::uint64_t> next_busy_tick() const;

  TimePoint start_;
  std::uint64_t tick_ = 0;  // everything before it has fired
  std::array<std::array<Slot, kSlots>, kLevels> wheel_;
};

}  // namespace trunkline
