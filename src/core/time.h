// SPDX-License-Identifier: Apache-2.0
//
// Time comes in as an argument. The clock below deliberately has no now(): only net/ reads a real
// clock, and the simulation has one of its own.
#pragma once

#include <chrono>
#include <cstdint>

namespace trunkline {

using Duration = std::chrono::nanoseconds;

// Monotonic time as the rooms see it; its zero means nothing.
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};

using TimePoint = MonotonicClock::time_point;

// Time of day for what leaves the process (tokens' expiry, a publication's `time`).
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// Both, read once a turn so that everything in a turn happens at one instant.
struct Now {
  TimePoint monotonic;
  WallTime wall;
};

}  // namespace trunkline
