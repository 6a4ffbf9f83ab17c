// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include "hub/messages.h"

#include <optional>

namespace trunkline::hub {

// Where a subscriber that has seen `since` goes on: the next offset, or nothing when the history no
// longer holds it or the position is of another epoch. An empty epoch (and offset 0: "since
// nothing") matches any; the sentinel "_" that clients send to be refused matches none.
[[nodiscard]] std::optional<Offset> resume_from(const Attached& attached, const Position& since);

}  // namespace trunkline::hub
