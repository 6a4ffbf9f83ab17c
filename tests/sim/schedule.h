// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/random.h"
#include "core/string_map.h"
#include "core/time.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sim {

using namespace std::chrono_literals;

// Virtual time, and what happens when. Events of one instant happen in the order in which they were
// asked for, so a seed is one run and no other.
class Schedule {
 public:
  explicit Schedule(std::uint64_t seed) : random(seed) {}

  [[nodiscard]] const TimePoint& now() const { return now_; }

  void at(TimePoint time, std::move_only_function<void()> run) {
    events_.push_back(Event{std::max(time, now_), ++last_, std::move(run)});
    std::ranges::push_heap(events_, later);
  }

  void after(Duration delay, std::move_only_function<void()> run) {
    at(now_ + delay, std::move(run));
  }

  // Runs what is due until `end`; `go_on` is asked before each event.
  template <class GoOn>
  void run_until(TimePoint end, GoOn go_on) {
    while (!events_.empty() && events_.front().time <= end && go_on()) {
      std::ranges::pop_heap(events_, later);
      Event event = std::move(events_.back());
      events_.pop_back();
      now_ = event.time;
      ++count_;
      event.run();
    }
    now_ = std::max(now_, end);
  }

  // A part of what makes this run differ from others.
  void trace(std::string_view text) {
    trace_ =
        (trace_ ^ stable_hash(text) ^ static_cast<std::uint64_t>(now_.time_since_epoch().count())) *
        0x100000001b3U;
  }

  [[nodiscard]] std::uint64_t trace_hash() const { return trace_; }

  [[nodiscard]] std::uint64_t events() const { return count_; }

  // Between the two, evenly.
  Duration between(Duration low, Duration high) {
    return low + Duration(static_cast<Duration::rep>(
                     random.below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }

  Random random;

 private:
  struct Event {
    TimePoint time;
    std::uint64_t number = 0;
    std::move_only_function<void()> run;
  };

  static bool later(const Event& a, const Event& b) {
    return std::pair(a.time, a.number) > std::pair(b.time, b.number);
  }

  TimePoint now_{1s};
  std::uint64_t last_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t trace_ = 0xcbf29ce484222325U;
  std::vector<Event> events_;
};

}  // namespace trunkline::sim
