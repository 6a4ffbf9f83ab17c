// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/random.h"
#include "core/time.h"

#include <cstdint>

namespace trunkline::peers {

// start · 2^(failures − 1), at most max. The longest that `failures` in a row may make one wait; no
// failure: nothing.
[[nodiscard]] Duration retry_ceiling(std::uint32_t failures, Duration start, Duration max);

// Drawn evenly from 0 to the ceiling: full jitter. Peers that were lost in one moment come back
// spread over the whole time, and their load with them.
[[nodiscard]] Duration retry_delay(std::uint32_t failures, Duration start, Duration max,
                                   Random& random);

}  // namespace trunkline::peers
