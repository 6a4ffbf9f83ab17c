// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/random.h"
#include "core/time.h"

#include <cstddef>
#include <cstdint>

namespace trunkline::peers {

struct ThrottleSettings {
  std::uint32_t failures = 25;  // 0: it never slows down
  Duration spacing = std::chrono::seconds(5);
  Duration spacing_max = std::chrono::minutes(1);
  std::size_t window = 8;  // dials in flight when all is well
};

// Slows dials down when they fail in a row, whoever makes them: over all addresses, or over those
// of a group. A network that is down is then asked now and again by one dial, not by all at once;
// and when it is back, the number in flight grows as dials succeed instead of everybody rushing in.
//
//   normal --`failures` in a row--> spaced: one in flight, `spacing` apart, growing
//   spaced --a success--> growing: two in flight, doubled by each further success
//   growing --the window is full--> normal;  growing --`failures` in a row--> spaced
//
// Thread: the owner's.
class Throttle {
 public:
  explicit Throttle(std::size_t window) : window_(window) {}

  [[nodiscard]] bool is_slow(const ThrottleSettings& settings) const {
    return is_spaced(settings) || window_ < settings.window;
  }

  [[nodiscard]] std::size_t window() const { return window_; }

  // The earliest moment for the next dial; `now` when it may start at once.
  [[nodiscard]] TimePoint next_dial(const ThrottleSettings& settings, TimePoint now) const {
    return is_spaced(settings) && next_ > now ? next_ : now;
  }

  void on_dial(const ThrottleSettings& settings, TimePoint now, Random& random);
  void on_success(const ThrottleSettings& settings);
  void on_failure(const ThrottleSettings& settings);

  [[nodiscard]] std::uint32_t failures() const { return failures_; }

 private:
  [[nodiscard]] bool is_spaced(const ThrottleSettings& settings) const {
    return settings.failures > 0 && failures_ >= settings.failures;
  }

  TimePoint next_;
  std::size_t window_;
  std::uint32_t failures_ = 0;  // in a row
};

}  // namespace trunkline::peers
