// SPDX-License-Identifier: Apache-2.0
#include "peers/throttle.h"

#include "peers/backoff.h"

#include <algorithm>

namespace trunkline::peers {

void Throttle::on_dial(const ThrottleSettings& settings, TimePoint now, Random& random) {
  if (!is_spaced(settings)) {
    return;
  }
  const Duration ceiling =
      retry_ceiling(failures_ / settings.failures, settings.spacing, settings.spacing_max);
  // From half of it on: a spacing that may be drawn as nothing is none.
  next_ = now + ceiling / 2 +
          Duration(static_cast<Duration::rep>(
              random.below(static_cast<std::uint64_t>(ceiling.count() / 2) + 1)));
}

void Throttle::on_success(const ThrottleSettings& settings) {
  failures_ = 0;
  window_ = std::min(window_ * 2, settings.window);
}

void Throttle::on_failure(const ThrottleSettings& settings) {
  if (failures_ < UINT32_MAX) {
    ++failures_;
  }
  if (is_spaced(settings)) {
    window_ = 1;
  }
}

}  // namespace trunkline::peers
