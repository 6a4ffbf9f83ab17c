// SPDX-License-Identifier: Apache-2.0
#include "peers/breaker.h"

#include "peers/backoff.h"

#include <algorithm>

namespace trunkline::peers {

bool Breaker::on_failure(const BreakerSettings& settings, TimePoint now) {
  ++failures_;
  const bool opens = settings.failures > 0 &&
                     (state_ == BreakerState::kHalfOpen || failures_ >= settings.failures);
  if (!opens || state_ == BreakerState::kOpen) {
    return false;
  }
  openings_ = static_cast<std::uint8_t>(std::min(openings_ + 1, 255));
  open_until_ = now + retry_ceiling(openings_, settings.open, settings.open_max);
  state_ = BreakerState::kOpen;
  return true;
}

}  // namespace trunkline::peers
