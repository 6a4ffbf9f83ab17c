// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/log_throttle.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace trunkline::session {

// The limits that a client can run into, for the log.
enum class Limit : std::uint8_t {
  kChannels,
  kCommandRate,
  kErrorRate,
  kUserConnections,
  kStale,
  kSlow,
  kMemory,
  kCalls
};

// One line an interval for each limit, from all sessions of a shard. Thread: owning shard.
class LimitLog {
 public:
  // What to put behind the line; nothing when it is not to be written.
  [[nodiscard]] std::optional<std::string> pass(Limit limit, TimePoint now) {
    const auto held_back = throttles_[static_cast<std::size_t>(limit)].pass(now);
    if (!held_back.has_value()) {
      return std::nullopt;
    }
    return *held_back == 0 ? std::string{}
                           : " (" + std::to_string(*held_back) + " more since the last line)";
  }

 private:
  std::array<LogThrottle, 8> throttles_;
};

}  // namespace trunkline::session
