// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"
#include "replay/log.h"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trunkline::hub {

// How far publishers may be ahead of a channel's fastest subscriber. Publications beyond that wait,
// unpublished and unanswered, until it gets on: whoever publishes without pause is slowed to what
// at least one subscriber takes, instead of pushing everybody out of the log. A subscriber that is
// slower than another one never counts.
struct Pacing {
  // How long a publication waits without any progress; 0: none waits. After that publishers go on
  // unpaced until a subscriber moves again: a channel whose subscribers all stand still must not
  // stop them.
  Duration wait_max = std::chrono::seconds(1);
  // Half of what every log keeps for those who are a little behind.
  std::size_t free_publications = replay::kCatchUp.count_max / 2;
  std::size_t free_bytes = replay::kCatchUp.bytes_max / 2;
  // Of the data that waits, for one channel; beyond it the oldest is published.
  std::size_t waiting_bytes_max = 32UL * 1024 * 1024;

  // Whether `publications` of `bytes` together may be ahead. One always may, and so may what is
  // less than half of the history. With `scale` 2 half as much, and so on.
  [[nodiscard]] bool allows(std::size_t publications, std::uint64_t bytes,
                            const replay::Retention& history, std::size_t scale = 1) const {
    if (publications <= 1) {
      return true;
    }
    const std::size_t count = publications * scale;
    const std::uint64_t size = bytes * scale;
    return (count <= free_publications && size <= free_bytes) ||
           (2 * count <= history.count_max &&
            (history.bytes_max == 0 || 2 * size <= history.bytes_max));
  }
};

}  // namespace trunkline::hub
