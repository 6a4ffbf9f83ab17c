// SPDX-License-Identifier: Apache-2.0
//
// What nodes say of their connections, as tables with rates. docs/grid.md has the nodes' JSON.
#pragma once

#include <trunkline/error.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::app {

// One connection, at the moment of asking.
struct GridSample {
  std::string peer{};
  std::string state{};
  bool dialled_here = false;
  std::uint64_t connects = 0;
  std::uint64_t round_trip_us = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t calls_open = 0;
  std::uint64_t handlers_running = 0;
  std::uint64_t unsent_bytes = 0;
  std::string last_error{};
};

struct GridSamples {
  std::string node{};
  std::uint64_t clock_us = 0;  // the node's own, from any moment on
  std::vector<GridSample> peers{};
};

// Errors: kMalformed for what is no such answer. Text in it is made harmless to a terminal.
[[nodiscard]] Result<GridSamples> parse_samples(std::string_view json);

// A node's table; what was counted before makes it rates. Lines with their newlines.
class GridTable {
 public:
  [[nodiscard]] std::string render(const GridSamples& now);

 private:
  // By node and peer: the node's clock then, and its counts.
  std::map<std::pair<std::string, std::string>, std::pair<std::uint64_t, GridSample>> before_;
};

}  // namespace trunkline::app
