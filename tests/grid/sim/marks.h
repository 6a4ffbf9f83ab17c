// SPDX-License-Identifier: Apache-2.0
//
// The faults that may be planted into grid/, and the situations that must have been reached.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace trunkline::grid::sim {

[[nodiscard]] std::span<const char* const> mutant_names();
[[nodiscard]] std::span<const char* const> point_names();

// Plants one fault; false when there is none of that name. An empty name takes it out again.
[[nodiscard]] bool plant(std::string_view name);

// How often a point was reached since the program began.
[[nodiscard]] std::uint64_t reached_count(std::string_view point);

}  // namespace trunkline::grid::sim
