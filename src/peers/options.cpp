// SPDX-License-Identifier: Apache-2.0
#include "peers/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace trunkline::peers {

namespace {

using std::chrono::milliseconds;

// No time may overflow when it is added or doubled: ten years.
constexpr milliseconds kTimeMax = std::chrono::hours(24 * 3653);

struct Time {
  std::string_view name;
  milliseconds value;
  bool may_be_zero = false;
};

Result<void> wrong(std::string_view what) {
  return fail(ErrorCode::kConfig, std::string(what));
}

Result<void> check_times(const PeerOptions& options) {
  const std::array times = {
      Time{"dial_timeout", options.dial_timeout},
      Time{"attempt_interval", options.attempt_interval},
      Time{"retry_start", options.retry_start},
      Time{"retry_max", options.retry_max},
      Time{"good_after", options.good_after, true},
      Time{"slow_spacing_max", options.slow_spacing_max},
      Time{"breaker_open", options.breaker_open},
      Time{"breaker_open_max", options.breaker_open_max},
      Time{"feeler_interval", options.feeler_interval, true},
      Time{"inbound_pause", options.inbound_pause},
      Time{"grace_period", options.grace_period, true},
      Time{"trim_interval", options.trim_interval},
      Time{"score_half_life", options.score_half_life},
      Time{"score_forgotten_after", options.score_forgotten_after},
      Time{"ban_duration", options.ban_duration},
  };
  for (const Time& time : times) {
    if (time.value < milliseconds(time.may_be_zero ? 0 : 1) || time.value > kTimeMax) {
      return wrong(fmt::format("{} is {} ms: from {} ms to ten years", time.name,
                               time.value.count(), time.may_be_zero ? 0 : 1));
    }
  }
  return {};
}

}  // namespace

Result<void> check_options(const PeerOptions& options) {
  if (const Result<void> times = check_times(options); !times.has_value()) {
    return times;
  }
  if (options.retry_max < options.retry_start) {
    return wrong("retry_max is below retry_start");
  }
  if (options.dials_in_flight_max == 0 || options.attempts_per_dial_max == 0) {
    return wrong("dials_in_flight_max and attempts_per_dial_max must be above 0");
  }
  if (options.addresses_per_round_max == 0 || options.requests_max == 0 ||
      options.book_addresses_max == 0 || options.scores_max == 0) {
    return wrong(
        "a table needs room for one: requests_max, book_addresses_max, scores_max, "
        "addresses_per_round_max");
  }
  if (options.low_water > options.high_water) {
    return wrong("low_water is above high_water");
  }
  if (!(options.ban_score > 0) || !(options.discourage_score > 0)) {
    return wrong("ban_score and discourage_score must be above 0");
  }
  if (options.group_prefix_v4 > 32 || options.group_prefix_v6 > 64) {
    return wrong("group_prefix_v4 is at most 32, group_prefix_v6 at most 64");
  }
  return {};
}

}  // namespace trunkline::peers
