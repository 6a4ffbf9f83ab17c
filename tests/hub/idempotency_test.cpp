// SPDX-License-Identifier: Apache-2.0
#include "hub/idempotency.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::hub {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(RecentKeys, FindsAKeyUntilItsAgeAndNotAfterwards) {
  RecentKeys keys;
  const TimePoint then;
  keys.remember("k", Position{"e", Offset{7}}, then);
  ASSERT_NE(keys.find("k", then + RecentKeys::kAge - nanoseconds(1)), nullptr);
  EXPECT_EQ(keys.find("k", then)->offset, Offset{7});
  EXPECT_EQ(keys.find("other", then), nullptr);
  EXPECT_EQ(keys.find("k", then + RecentKeys::kAge), nullptr);
  EXPECT_TRUE(keys.empty());
}

TEST(RecentKeys, EachKeyHasItsOwnAge) {
  RecentKeys keys;
  const TimePoint then;
  keys.remember("a", Position{"e", Offset{1}}, then);
  keys.remember("b", Position{"e", Offset{2}}, then + seconds(1));
  const TimePoint later = then + RecentKeys::kAge;
  EXPECT_EQ(keys.find("a", later), nullptr);
  EXPECT_NE(keys.find("b", later), nullptr);
}

TEST(RecentKeys, ForgetsTheOldestWhenThereAreTooMany) {
  RecentKeys keys;
  const TimePoint now;
  for (std::size_t i = 0; i <= RecentKeys::kKeysMax; ++i) {
    keys.remember(std::to_string(i), Position{"e", Offset{i}}, now);
  }
  EXPECT_EQ(keys.find("0", now), nullptr);
  EXPECT_NE(keys.find("1", now), nullptr);
  EXPECT_NE(keys.find(std::to_string(RecentKeys::kKeysMax), now), nullptr);
}

TEST(RecentKeys, AKeyMayComeAgainAfterItsAge) {
  RecentKeys keys;
  TimePoint now;
  keys.remember("k", Position{"e", Offset{1}}, now);
  now += RecentKeys::kAge;
  keys.remember("k", Position{"e", Offset{2}}, now);
  ASSERT_NE(keys.find("k", now), nullptr);
  EXPECT_EQ(keys.find("k", now)->offset, Offset{2});
}

}  // namespace
}  // namespace trunkline::hub
