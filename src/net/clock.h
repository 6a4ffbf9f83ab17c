// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <chrono>

namespace trunkline::net {

// The one place where the server reads the time. Thread: any.
[[nodiscard]] inline TimePoint monotonic_now() {
  return TimePoint(std::chrono::steady_clock::now().time_since_epoch());
}

[[nodiscard]] inline Now now() {
  return Now{monotonic_now(),
             std::chrono::time_point_cast<WallTime::duration>(std::chrono::system_clock::now())};
}

}  // namespace trunkline::net
