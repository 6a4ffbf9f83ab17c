// SPDX-License-Identifier: Apache-2.0
#include "core/log_throttle.h"

#include <gtest/gtest.h>

namespace trunkline {
namespace {

TEST(LogThrottle, LetsOneLineAnIntervalThroughAndCountsTheOthers) {
  LogThrottle throttle;
  TimePoint now{std::chrono::hours(1)};
  EXPECT_EQ(throttle.pass(now), 0U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(throttle.pass(now), std::nullopt);
  }
  now += LogThrottle::kInterval - Duration{1};
  EXPECT_EQ(throttle.pass(now), std::nullopt);
  now += Duration{1};
  EXPECT_EQ(throttle.pass(now), 6U);
  EXPECT_EQ(throttle.pass(now + LogThrottle::kInterval), 0U);
}

}  // namespace
}  // namespace trunkline
