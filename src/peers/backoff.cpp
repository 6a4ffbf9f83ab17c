// SPDX-License-Identifier: Apache-2.0
#include "peers/backoff.h"

#include "core/probe.h"

#include <algorithm>

namespace trunkline::peers {

Duration retry_ceiling(std::uint32_t failures, Duration start, Duration max) {
  if (failures == 0) {
    return Duration{0};
  }
  Duration ceiling = std::min(start, max);
  // As many doublings as it takes and no more: nothing can overflow.
  for (std::uint32_t i = 1; i < failures && ceiling < max; ++i) {
    ceiling = ceiling > max / 2 ? max : ceiling * 2;
  }
  return ceiling;
}

Duration retry_delay(std::uint32_t failures, Duration start, Duration max, Random& random) {
  const Duration ceiling =
      retry_ceiling(TRUNKLINE_MUTANT("backoff-one-ahead") ? failures + 1 : failures, start, max);
  return Duration(
      static_cast<Duration::rep>(random.below(static_cast<std::uint64_t>(ceiling.count()) + 1)));
}

}  // namespace trunkline::peers
