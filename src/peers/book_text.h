// SPDX-License-Identifier: Apache-2.0
//
// What the manager knows of peers, as text for a file: one line an item, fields by spaces.
//
//   trunkline-peers 1 <seconds since 1970>
//   address <address> <failures> <seconds since it was tried, or -> <since it was good, or -> [up]
//   host <host> <lasting score> <seconds of ban left>
//
// Ages and not times: the monotonic clock starts anew with each boot. The time of day in the first
// line tells how long the text has lain about.
#pragma once

#include <trunkline/error.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::peers {

struct SavedAddress {
  std::string address;
  std::uint32_t failures = 0;
  std::optional<std::chrono::seconds> tried_ago{};
  std::optional<std::chrono::seconds> good_ago{};
  bool is_up = false;  // connected at the time

  friend bool operator==(const SavedAddress&, const SavedAddress&) = default;
};

struct SavedHost {
  std::string host;
  double lasting = 0;
  std::chrono::seconds ban_left{0};

  friend bool operator==(const SavedHost&, const SavedHost&) = default;
};

struct SavedBook {
  std::int64_t at = 0;  // seconds since 1970
  std::vector<SavedAddress> addresses;
  std::vector<SavedHost> hosts;

  friend bool operator==(const SavedBook&, const SavedBook&) = default;
};

[[nodiscard]] std::string to_text(const SavedBook& book);
// Errors: kMalformed with the number of the line.
[[nodiscard]] Result<SavedBook> parse_book(std::string_view text);

}  // namespace trunkline::peers
