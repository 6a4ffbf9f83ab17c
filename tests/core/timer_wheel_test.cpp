// SPDX-License-Identifier: Apache-2.0
#include "core/timer_wheel.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace trunkline {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Recorder : Timer {
  void on_timer(TimePoint now) override { fired.push_back(now); }

  std::vector<TimePoint> fired;
};

TimePoint at(Duration since_start) {
  return TimePoint{} + since_start;
}

TEST(TimerWheel, FiresOnceAtItsTimeAndNotBefore) {
  TimerWheel wheel(at(seconds(0)));
  Recorder timer;
  wheel.arm(timer, at(milliseconds(100)));
  wheel.advance(at(milliseconds(99)));
  EXPECT_TRUE(timer.fired.empty());
  wheel.advance(at(milliseconds(104)));
  wheel.advance(at(milliseconds(300)));
  EXPECT_EQ(timer.fired.size(), 1U);
}

TEST(TimerWheel, DisarmedTimerNeverFires) {
  TimerWheel wheel(at(seconds(0)));
  Recorder timer;
  wheel.arm(timer, at(milliseconds(10)));
  wheel.disarm(timer);
  wheel.advance(at(seconds(1)));
  EXPECT_TRUE(timer.fired.empty());
  EXPECT_EQ(wheel.next_wakeup(), std::nullopt);
}

TEST(TimerWheel, DestroyedTimerLeavesTheWheel) {
  TimerWheel wheel(at(seconds(0)));
  auto timer = std::make_unique<Recorder>();
  wheel.arm(*timer, at(milliseconds(10)));
  timer.reset();
  wheel.advance(at(seconds(1)));
  EXPECT_EQ(wheel.next_wakeup(), std::nullopt);
}

TEST(TimerWheel, RearmingFromTheCallbackFiresAgain) {
  struct Repeating : Timer {
    explicit Repeating(TimerWheel& owner) : wheel(owner) {}

    void on_timer(TimePoint now) override {
      ++count;
      wheel.arm(*this, now + seconds(25));
    }

    TimerWheel& wheel;
    int count = 0;
  };

  TimerWheel wheel(at(seconds(0)));
  Repeating timer(wheel);
  wheel.arm(timer, at(seconds(25)));
  for (int second = 1; second <= 110; ++second) {
    wheel.advance(at(seconds(second)));
  }
  EXPECT_EQ(timer.count, 4);
}

TEST(TimerWheel, EveryDistanceFiresWithinATickWhenDrivenByItsOwnWakeups) {
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    const TimePoint start = at(milliseconds(random.below(10'000'000)));
    TimerWheel wheel(at(seconds(0)));
    wheel.advance(start);
    Recorder timer;
    const Duration distance = milliseconds(1ULL << random.below(28)) + Duration(random.below(999));
    wheel.arm(timer, start + distance);
    TimePoint now = start;
    for (int steps = 0; timer.fired.empty(); ++steps) {
      ASSERT_LT(steps, 2'000);
      const auto next = wheel.next_wakeup();
      ASSERT_TRUE(next.has_value());
      now = std::max(now + Duration{1}, *next);
      wheel.advance(now);
    }
    EXPECT_GE(timer.fired[0], start + distance);
    EXPECT_LE(timer.fired[0], start + distance + 2 * TimerWheel::kTick) << distance.count();
  }
}

TEST(TimerWheel, TimersBeyondTheLastLevelStillFire) {
  TimerWheel wheel(at(seconds(0)));
  Recorder timer;
  wheel.arm(timer, at(hours(100)));
  wheel.advance(at(hours(99)));
  EXPECT_TRUE(timer.fired.empty());
  wheel.advance(at(hours(101)));
  EXPECT_EQ(timer.fired.size(), 1U);
}

}  // namespace
}  // namespace trunkline
