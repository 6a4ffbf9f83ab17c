// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace trunkline::server {

namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::int64_t kLongest = Duration::max().count();

constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
    {"ns", 1},
    {"us", 1'000},
    {"µs", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
};

std::string_view take_digits(std::string_view& text) {
  const std::string_view digits =
      text.substr(0, std::min(text.find_first_not_of(kDigits), text.size()));
  text.remove_prefix(digits.size());
  return digits;
}

// One number with its unit, in nanoseconds. Whole numbers stay exact, which doubles would not.
std::optional<std::int64_t> take_part(std::string_view& text) {
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  const std::string_view name =
      text.substr(0, std::min(text.find_first_of("0123456789."), text.size()));
  const auto* const unit =
      std::ranges::find(kUnits, name, &std::pair<std::string_view, std::int64_t>::first);
  if ((whole.empty() && fraction.empty()) || unit == std::end(kUnits)) {
    return std::nullopt;
  }
  text.remove_prefix(name.size());
  std::int64_t count = 0;
  if (!whole.empty() &&
      std::from_chars(whole.data(), whole.data() + whole.size(), count).ec != std::errc{}) {
    return std::nullopt;
  }
  if (count > kLongest / unit->second) {
    return std::nullopt;
  }
  const std::int64_t full = count * unit->second;
  std::int64_t part = 0;
  std::int64_t place = unit->second;
  for (const char digit : fraction) {
    // What is left below a nanosecond is cut off.
    part += (digit - '0') * place / 10;
    place /= 10;
  }
  return part > kLongest - full ? std::nullopt : std::optional(full + part);
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") {
    return Duration{0};
  }
  std::int64_t sum = 0;
  std::string_view left = text;
  do {
    const std::optional<std::int64_t> part = take_part(left);
    if (!part.has_value() || *part > kLongest - sum) {
      return fail(
          ErrorCode::kConfig,
          fmt::format("\"{}\" is not a duration such as \"300s\", \"1h30m\" or \"250ms\"", text));
    }
    sum += *part;
  } while (!left.empty());
  return Duration(sum);
}

}  // namespace trunkline::server
