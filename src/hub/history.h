// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include "hub/messages.h"
#include "replay/log.h"

namespace trunkline::hub {

// Reads publications by a client's `history` command: after `since` upwards, or before it downwards
// when reversed; without `since` from the oldest, or from the newest when reversed. Errors:
// kUnrecoverablePosition when `since` belongs to another epoch. A `since` that was trimmed is no
// error: the publications that are left follow (the client sees their offsets).
[[nodiscard]] Result<History> read_history(const replay::Log& log, Offset history_first,
                                           const HistoryQuery& query);

// The JSON of publications first … last, joined with commas.
[[nodiscard]] std::string join_bodies(const replay::Window& window, Offset first, Offset last);

}  // namespace trunkline::hub
