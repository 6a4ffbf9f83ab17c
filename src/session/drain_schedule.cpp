// SPDX-License-Identifier: Apache-2.0
#include "session/drain_schedule.h"

#include <algorithm>
#include <functional>

namespace trunkline::session {

Duration DrainSchedule::window(std::size_t connections, std::size_t per_second, Duration longest) {
  if (per_second == 0) {
    return Duration{0};
  }
  const double seconds = static_cast<double>(connections) / static_cast<double>(per_second);
  const double most = std::chrono::duration<double>(longest).count();
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::min(seconds, most)));
}

DrainSchedule::DrainSchedule(const std::vector<std::uint64_t>& connections, TimePoint now,
                             Duration window, Random& random) {
  const auto range = static_cast<std::uint64_t>(std::max<Duration::rep>(window.count(), 1));
  moments_.reserve(connections.size());
  for (const std::uint64_t connection : connections) {
    moments_.push_back(
        {now + Duration{static_cast<Duration::rep>(random.below(range))}, connection});
  }
  std::ranges::sort(moments_, std::ranges::greater{}, &Moment::at);
}

std::optional<std::uint64_t> DrainSchedule::next_due(TimePoint now) {
  if (moments_.empty() || moments_.back().at > now) {
    return std::nullopt;
  }
  const std::uint64_t connection = moments_.back().connection;
  moments_.pop_back();
  return connection;
}

std::optional<TimePoint> DrainSchedule::next_moment() const {
  return moments_.empty() ? std::nullopt : std::optional(moments_.back().at);
}

}  // namespace trunkline::session
