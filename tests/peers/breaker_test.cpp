// SPDX-License-Identifier: Apache-2.0
#include "peers/breaker.h"

#include <gtest/gtest.h>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

class BreakerTest : public ::testing::Test {
 protected:
  void fail_times(int count) {
    for (int i = 0; i < count; ++i) {
      breaker.on_failure(settings, now);
    }
  }

  const BreakerSettings settings{3, 30s, 100s};
  TimePoint now{1h};
  Breaker breaker;
};

TEST_F(BreakerTest, OpensAfterFailuresInARow) {
  fail_times(2);
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
  EXPECT_TRUE(breaker.on_failure(settings, now));
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
  EXPECT_EQ(breaker.next_dial(now), now + 30s);
}

TEST_F(BreakerTest, AProbeThatSucceedsClosesIt) {
  fail_times(3);
  EXPECT_TRUE(breaker.on_dial());
  EXPECT_TRUE(breaker.is_probing());
  EXPECT_TRUE(breaker.on_success());
  EXPECT_EQ(breaker.state(), BreakerState::kClosed);
}

TEST_F(BreakerTest, EachFailedProbeDoublesTheTimeUpToAMaximum) {
  fail_times(3);
  for (const auto open : {60s, 100s, 100s}) {
    breaker.on_dial();
    EXPECT_TRUE(breaker.on_failure(settings, now));
    EXPECT_EQ(breaker.next_dial(now), now + open);
  }
}

TEST_F(BreakerTest, AProbeThatIsGivenUpLeavesTheNextDialFree) {
  fail_times(3);
  now += 30s;
  breaker.on_dial();
  EXPECT_TRUE(breaker.on_given_up());
  EXPECT_EQ(breaker.state(), BreakerState::kOpen);
  EXPECT_EQ(breaker.next_dial(now), now);
}

TEST_F(BreakerTest, FailuresCountUntilAConnectionWasGood) {
  fail_times(3);
  breaker.on_dial();
  breaker.on_success();
  EXPECT_TRUE(breaker.on_failure(settings, now));  // accepted and dropped
  breaker.on_dial();
  breaker.on_success();
  breaker.on_good();
  EXPECT_FALSE(breaker.on_failure(settings, now));
}

TEST_F(BreakerTest, NeverOpensWithoutALimit) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(breaker.on_failure({0, 30s, 100s}, now));
  }
  EXPECT_EQ(breaker.next_dial(now), now);
}

}  // namespace
}  // namespace trunkline::peers
