// SPDX-License-Identifier: Apache-2.0
#include "peers/throttle.h"

#include <gtest/gtest.h>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

class ThrottleTest : public ::testing::Test {
 protected:
  void fail_times(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      throttle.on_failure(settings);
    }
  }

  // Between two dials now.
  Duration spacing() {
    throttle.on_dial(settings, now, random);
    return throttle.next_dial(settings, now) - now;
  }

  const ThrottleSettings settings{10, 4s, 20s, 8};
  Throttle throttle{8};
  Random random{3};
  TimePoint now{1h};
};

TEST_F(ThrottleTest, FewFailuresChangeNothing) {
  fail_times(9);
  EXPECT_FALSE(throttle.is_slow(settings));
  EXPECT_EQ(spacing(), 0s);
  EXPECT_EQ(throttle.window(), 8U);
}

TEST_F(ThrottleTest, SpacingGrowsWithFailuresUpToItsMaximum) {
  for (const auto ceiling : {4s, 8s, 16s, 20s, 20s}) {
    fail_times(10);
    for (int i = 0; i < 50; ++i) {
      const Duration one = spacing();
      EXPECT_GE(one, ceiling / 2);
      EXPECT_LE(one, ceiling);
    }
  }
  EXPECT_EQ(throttle.window(), 1U);
}

TEST_F(ThrottleTest, TheWindowDoublesWithEachSuccess) {
  fail_times(10);
  for (const std::size_t window : {2U, 4U, 8U}) {
    EXPECT_TRUE(throttle.is_slow(settings));
    throttle.on_success(settings);
    EXPECT_EQ(throttle.window(), window);
    EXPECT_EQ(spacing(), 0s);
  }
  EXPECT_FALSE(throttle.is_slow(settings));
}

}  // namespace
}  // namespace trunkline::peers
