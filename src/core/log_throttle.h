// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace trunkline {

// Lets one line an interval of a kind into the log and counts the others: what ten thousand clients
// can cause must not fill a disk. Thread: the owner's.
class LogThrottle {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(10);

  // How many lines were held back since the last one, when this one may be written; nothing when it
  // is held back, too. The first may always be written.
  [[nodiscard]] std::optional<std::uint64_t> pass(TimePoint now) {
    if (quiet_until_.has_value() && now < *quiet_until_) {
      ++held_back_;
      return std::nullopt;
    }
    quiet_until_ = now + kInterval;
    return std::exchange(held_back_, 0);
  }

 private:
  std::optional<TimePoint> quiet_until_;
  std::uint64_t held_back_ = 0;
};

}  // namespace trunkline
