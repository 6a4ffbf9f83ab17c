// SPDX-License-Identifier: Apache-2.0
//
// The two tables of the simulation: the faults that may be planted into the rooms, and the
// situations that must have been reached. mutants/README.md says what each fault means.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace trunkline::sim {

// Every name that TRUNKLINE_MUTANT is used with.
[[nodiscard]] std::span<const char* const> mutant_names();
// Every name that TRUNKLINE_SOMETIMES is used with.
[[nodiscard]] std::span<const char* const> point_names();

// Plants one fault; false when there is none of that name. An empty name takes it out again.
[[nodiscard]] bool plant(std::string_view name);

// How often a point was reached since the program began.
[[nodiscard]] std::uint64_t reached_count(std::string_view point);

}  // namespace trunkline::sim
