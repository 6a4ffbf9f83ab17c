// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <algorithm>
#include <chrono>

namespace trunkline::peers {

// As programs are told it: what is past is 0, a part of a millisecond is one.
[[nodiscard]] inline std::chrono::milliseconds in_ms(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(std::max(duration, Duration{0}));
}

}  // namespace trunkline::peers
