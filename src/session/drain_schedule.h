// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/random.h"
#include "core/time.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trunkline::session {

// When a stopping server disconnects whom. All at once, they would come back all at once: a herd
// for whoever takes over. The client protocol has no word for "come back in so many seconds", so
// the disconnects themselves are spread: each client's moment is random in a window that grows with
// their number. Until then it is served as ever. Thread: owning shard.
class DrainSchedule {
 public:
  // How long `connections` take at `per_second` of them, at most `longest`; 0 a second: no time.
  [[nodiscard]] static Duration window(std::size_t connections, std::size_t per_second,
                                       Duration longest);

  // Gives each of the connections its moment in [now, now + window).
  DrainSchedule(const std::vector<std::uint64_t>& connections, TimePoint now, Duration window,
                Random& random);

  // One whose moment has come, each once.
  [[nodiscard]] std::optional<std::uint64_t> next_due(TimePoint now);

  // The next moment; nothing when all have had theirs.
  [[nodiscard]] std::optional<TimePoint> next_moment() const;

 private:
  struct Moment {
    TimePoint at;
    std::uint64_t connection = 0;
  };

  std::vector<Moment> moments_;  // the next one last
};

}  // namespace trunkline::session
