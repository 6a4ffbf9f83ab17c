// SPDX-License-Identifier: Apache-2.0
//
// What all connections of a node have reserved of its pool, those that are lost included, counted
// call by call. Nobody but the simulation wants to know, so it looks inside.
#pragma once

#include "grid/node_core.h"

#include <cstddef>

namespace trunkline::grid::sim {

[[nodiscard]] std::size_t reserved_of(const NodeCore& core);

}  // namespace trunkline::grid::sim
