// SPDX-License-Identifier: Apache-2.0
//
// What a node knows of its peers, for the program and, as JSON, for whoever asks over the grid
// (docs/grid.md, "What a node answers by itself").
#pragma once

#include <trunkline/grid.h>

#include "core/time.h"
#include "grid/node_core.h"

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::net {

// The handler that answers with statistics_json().
inline constexpr std::string_view kStatisticsHandler = "trunkline/peers";

// Of all peers. Thread: the node's.
[[nodiscard]] std::vector<GridPeerStats> statistics_of(const grid::NodeCore& core);

// Thread: any.
[[nodiscard]] std::string statistics_json(std::string_view name, TimePoint now,
                                          const std::vector<GridPeerStats>& peers);

}  // namespace trunkline::net
