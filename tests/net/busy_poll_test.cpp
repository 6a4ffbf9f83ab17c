// SPDX-License-Identifier: Apache-2.0
#include "net/busy_poll.h"

#include <gtest/gtest.h>

namespace trunkline::net {
namespace {

using namespace std::chrono_literals;

class BusyPollTest : public testing::Test {
 protected:
  // An event comes so long after the thread had nothing more to do. The time between two looks is
  // `step`.
  void event_after(BusyPoll::Duration time, BusyPoll::Duration step = 1us) {
    const TimePoint comes = now_ + time;
    if (poll_.begin(now_)) {
      ++polls_;
      for (bool goes_on = true; goes_on;) {
        now_ += step;
        polled_ += step;
        goes_on = poll_.goes_on(now_);
        if (now_ >= comes) {
          poll_.found();
          return;
        }
      }
    }
    const TimePoint asleep = now_;
    now_ = std::max(now_, comes) + kWaking;
    ++sleeps_;
    poll_.slept(now_ - asleep);
  }

  void events_after(int count, BusyPoll::Duration time, BusyPoll::Duration step = 1us) {
    polls_ = 0;
    sleeps_ = 0;
    polled_ = 0us;
    for (int i = 0; i < count; ++i) {
      event_after(time, step);
    }
  }

  static constexpr BusyPoll::Duration kWaking = 40us;

  BusyPoll poll_{50us};
  TimePoint now_{1h};
  int polls_ = 0;
  int sleeps_ = 0;
  BusyPoll::Duration polled_{};
};

TEST_F(BusyPollTest, NeverSleepsWhereEventsComeSoon) {
  events_after(1000, 10us);
  EXPECT_EQ(sleeps_, 0);
}

TEST_F(BusyPollTest, SleepsWhereTheyComeLate) {
  events_after(1000, 1ms);
  EXPECT_EQ(sleeps_, 1000);
  EXPECT_LE(polls_, 8);
}

TEST_F(BusyPollTest, DoesNotLookLongerThanItWasTold) {
  event_after(1ms);
  EXPECT_EQ(polled_, 50us);
}

TEST_F(BusyPollTest, FindsOutWhenTheyComeSoonAgain) {
  events_after(1000, 1ms);
  events_after(1000, 10us);
  EXPECT_LE(sleeps_, 8);
}

TEST_F(BusyPollTest, LooksInVainForAQuarterOfTheTimeAtMost) {
  for (const BusyPoll::Duration apart : {55us, 80us, 120us, 200us, 500us}) {
    const TimePoint began = now_;
    events_after(1000, apart);
    EXPECT_LE(polled_ * 4, now_ - began) << apart.count();
  }
}

// The step is long: others run whenever the thread gives the core away.
TEST_F(BusyPollTest, LeavesTheCoreToOthers) {
  events_after(10'000, 45us, 30us);
  EXPECT_LE(polled_ * 10, 10'000 * 45us);
}

TEST_F(BusyPollTest, LooksAgainWhenTheOthersHaveGone) {
  events_after(10'000, 45us, 30us);
  now_ += 2s;
  events_after(1000, 10us);
  EXPECT_LE(sleeps_, 2);
}

TEST_F(BusyPollTest, DoesNotMindTheSystemsClock) {
  for (int i = 0; i < 1000; ++i) {
    events_after(200, 10us);
    EXPECT_EQ(sleeps_, 0) << i;
    event_after(45us, 30us);
  }
}

TEST_F(BusyPollTest, IsOffAtZero) {
  BusyPoll off(0us);
  EXPECT_FALSE(off.begin(now_));
  off.slept(0us);
  EXPECT_FALSE(off.begin(now_));
}

}  // namespace
}  // namespace trunkline::net
