// SPDX-License-Identifier: Apache-2.0
#include "net/handshake_queue.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <vector>

namespace trunkline::net {
namespace {

using Queue = HandshakeQueue<int>;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(HandshakeQueue, LetsASecondsWorthThroughAtOnceAndTheOthersWait) {
  Queue queue(10, seconds(5));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(queue.arrive(i, TimePoint{}), Queue::Verdict::kGo);
  }
  EXPECT_EQ(queue.arrive(10, TimePoint{}), Queue::Verdict::kWait);
  EXPECT_EQ(queue.next(TimePoint{}), std::nullopt);
  EXPECT_EQ(queue.next_wakeup(TimePoint{}), TimePoint{milliseconds(100)});
  EXPECT_EQ(queue.next(TimePoint{milliseconds(100)}), 10);
  EXPECT_EQ(queue.next_wakeup(TimePoint{milliseconds(100)}), std::nullopt);
}

TEST(HandshakeQueue, RefusesWhoWouldHaveToWaitTooLong) {
  Queue queue(10, milliseconds(500));
  for (int i = 0; i < 15; ++i) {
    EXPECT_NE(queue.arrive(i, TimePoint{}), Queue::Verdict::kRefused);
  }
  EXPECT_EQ(queue.arrive(15, TimePoint{}), Queue::Verdict::kRefused);
  EXPECT_EQ(queue.size(), 5U);
}

TEST(HandshakeQueue, WithoutAWaitRefusesAtOnce) {
  Queue queue(1, Duration{0});
  EXPECT_EQ(queue.arrive(1, TimePoint{}), Queue::Verdict::kGo);
  EXPECT_EQ(queue.arrive(2, TimePoint{}), Queue::Verdict::kRefused);
}

TEST(HandshakeQueue, NobodyOvertakesThoseWhoWait) {
  Queue queue(10, seconds(5));
  for (int i = 0; i < 12; ++i) {
    (void)queue.arrive(i, TimePoint{});
  }
  // There is a token now, but it is not the newcomer's.
  const TimePoint now{milliseconds(100)};
  EXPECT_EQ(queue.arrive(12, now), Queue::Verdict::kWait);
  EXPECT_EQ(queue.next(now), 10);
  EXPECT_EQ(queue.next(now), std::nullopt);
}

TEST(HandshakeQueue, AnotherGoesInsteadOfOneThatHasGone) {
  Queue queue(1, seconds(5));
  (void)queue.arrive(1, TimePoint{});
  (void)queue.arrive(2, TimePoint{});
  EXPECT_EQ(queue.next(TimePoint{}), std::nullopt);
  queue.give_back();
  EXPECT_EQ(queue.next(TimePoint{}), 2);
}

// A whole storm: everybody is answered, in order, at the rate, and nobody waits longer than said.
TEST(HandshakeQueue, SurvivesAStormInVirtualTime) {
  constexpr int kClients = 100'000;
  constexpr Duration kWaitMax = seconds(3);
  Queue queue(1000, kWaitMax);
  Random random(11);
  std::vector<TimePoint> arrived(kClients);
  TimePoint now;
  int refused = 0;
  int admitted = 0;
  int last = -1;
  const auto serve = [&](TimePoint until) {
    while (const auto wakeup = queue.next_wakeup(now)) {
      if (*wakeup > until) {
        break;
      }
      now = std::max(now, *wakeup);
      while (const auto next = queue.next(now)) {
        EXPECT_GT(*next, last);
        last = *next;
        ++admitted;
        EXPECT_LE(now - arrived[static_cast<std::size_t>(*next)], kWaitMax + milliseconds(2));
      }
    }
    now = std::max(now, until);
  };
  for (int i = 0; i < kClients; ++i) {
    serve(now + Duration(static_cast<Duration::rep>(random.below(100'000))));
    arrived[static_cast<std::size_t>(i)] = now;
    switch (queue.arrive(i, now)) {
      case Queue::Verdict::kGo:
        EXPECT_EQ(queue.size(), 0U);
        last = i;
        ++admitted;
        break;
      case Queue::Verdict::kWait:
        break;
      case Queue::Verdict::kRefused:
        ++refused;
        break;
    }
  }
  serve(now + kWaitMax + seconds(1));
  EXPECT_EQ(admitted + refused, kClients);
  EXPECT_EQ(queue.size(), 0U);
  // About 5 s of arrivals at 20,000 a second against 1,000 a second, a burst and a queue.
  EXPECT_GT(admitted, 8000);
  EXPECT_LT(admitted, 10'000);
}

}  // namespace
}  // namespace trunkline::net
