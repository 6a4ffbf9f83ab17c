// SPDX-License-Identifier: Apache-2.0
#include "core/token_bucket.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <deque>

namespace trunkline {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

int take_all(TokenBucket& bucket, TimePoint now) {
  int taken = 0;
  while (taken < 10'000 && bucket.try_take(now)) {
    ++taken;
  }
  return taken;
}

TEST(TokenBucket, IsFullAtFirstWhateverTheClockSays) {
  for (const TimePoint start : {TimePoint{}, TimePoint{std::chrono::hours(100'000)}}) {
    TokenBucket bucket({.count = 3, .interval = seconds(1)});
    EXPECT_EQ(take_all(bucket, start), 3);
  }
}

TEST(TokenBucket, GivesBackEvenlyOverTheInterval) {
  TokenBucket bucket({.count = 4, .interval = seconds(1)});
  TimePoint now;
  take_all(bucket, now);
  now += milliseconds(249);
  EXPECT_FALSE(bucket.try_take(now));
  now += milliseconds(1);
  EXPECT_TRUE(bucket.try_take(now));
  EXPECT_FALSE(bucket.try_take(now));
}

TEST(TokenBucket, SavesNoMoreThanItsCount) {
  TokenBucket bucket({.count = 5, .interval = seconds(1)});
  take_all(bucket, TimePoint{});
  EXPECT_EQ(take_all(bucket, TimePoint{seconds(3600)}), 5);
}

TEST(TokenBucket, SaysWhenTheNextTokenIsThere) {
  TokenBucket bucket({.count = 10, .interval = seconds(1)});
  const TimePoint now{seconds(5)};
  EXPECT_EQ(bucket.next(now), now);
  take_all(bucket, now);
  EXPECT_EQ(bucket.next(now), now + milliseconds(100));
  EXPECT_FALSE(bucket.has(bucket.next(now) - Duration{1}));
  EXPECT_TRUE(bucket.has(bucket.next(now)));
}

TEST(TokenBucket, ATokenThatIsGivenBackMayBeTakenAgainButIsNotOneMore) {
  TokenBucket bucket({.count = 2, .interval = seconds(1)});
  const TimePoint now{seconds(1)};
  take_all(bucket, now);
  bucket.give_back();
  EXPECT_EQ(take_all(bucket, now), 1);
  bucket.give_back();
  bucket.give_back();
  bucket.give_back();
  EXPECT_EQ(take_all(bucket, now + seconds(10)), 2);
}

TEST(TokenBucket, ChargingAnEmptyOneMakesNoDebt) {
  TokenBucket bucket({.count = 1, .interval = seconds(1)});
  for (int i = 0; i < 100; ++i) {
    bucket.charge(TimePoint{});
  }
  EXPECT_TRUE(bucket.has(TimePoint{seconds(1)}));
}

TEST(TokenBucket, ARateThatDoesNotDivideTheIntervalStillGivesItsCount) {
  for (const std::uint32_t count : {3U, 7U, 11U, 999U, 1'000'000U}) {
    TokenBucket bucket({.count = count, .interval = seconds(1)});
    std::uint32_t taken = 0;
    while (bucket.try_take(TimePoint{})) {
      ++taken;
    }
    EXPECT_EQ(taken, count);
  }
}

TEST(TokenBucket, NeverLetsMoreThanTwiceTheCountThroughAnInterval) {
  constexpr std::size_t kCount = 20;
  Random random(7);
  TokenBucket bucket({.count = kCount, .interval = seconds(1)});
  TimePoint now;
  std::deque<TimePoint> passed;
  for (int i = 0; i < 100'000; ++i) {
    now += Duration(static_cast<Duration::rep>(random.below(20'000'000)));
    if (bucket.try_take(now)) {
      passed.push_back(now);
    }
    while (!passed.empty() && passed.front() <= now - seconds(1)) {
      passed.pop_front();
    }
    ASSERT_LE(passed.size(), 2 * kCount);
  }
}

}  // namespace
}  // namespace trunkline
