// SPDX-License-Identifier: Apache-2.0
//
// Where a reader stands in a channel's replay log.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace trunkline {

// The number of a publication in its channel: 1, 2, 3, … without holes within an epoch.
// Offset 0 stands before the first publication.
struct Offset {
  std::uint64_t value = 0;

  friend auto operator<=>(const Offset&, const Offset&) = default;

  [[nodiscard]] constexpr Offset next() const { return Offset{value + 1}; }
};

// The last publication that a reader has seen. The epoch names the log's unbroken history; it
// changes whenever continuity cannot be proven, and then old offsets mean nothing.
struct Position {
  std::string epoch;  // short printable text, never "_" and never empty when given by the server
  Offset offset;

  friend bool operator==(const Position&, const Position&) = default;
};

}  // namespace trunkline
