// SPDX-License-Identifier: Apache-2.0
#include "peers/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, CeilingDoublesUpToItsMaximum) {
  EXPECT_EQ(retry_ceiling(0, 5s, 5min), 0s);
  EXPECT_EQ(retry_ceiling(1, 5s, 5min), 5s);
  EXPECT_EQ(retry_ceiling(2, 5s, 5min), 10s);
  EXPECT_EQ(retry_ceiling(6, 5s, 5min), 160s);
  EXPECT_EQ(retry_ceiling(7, 5s, 5min), 5min);
  EXPECT_EQ(retry_ceiling(UINT32_MAX, 5s, 5min), 5min);
}

TEST(Backoff, CeilingDoesNotOverflow) {
  EXPECT_EQ(retry_ceiling(1000, 1ns, Duration::max()), Duration::max());
}

TEST(Backoff, DelayIsSpreadOverTheWholeCeiling) {
  Random random(7);
  constexpr int kDraws = 4000;
  Duration sum{0};
  Duration least = Duration::max();
  Duration most{0};
  for (int i = 0; i < kDraws; ++i) {
    const Duration delay = retry_delay(3, 5s, 5min, random);
    sum += delay;
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_LE(most, 20s);
  EXPECT_GT(most, 19s);
  EXPECT_LT(least, 1s);
  EXPECT_GT(sum / kDraws, 9s);
  EXPECT_LT(sum / kDraws, 11s);
}

}  // namespace
}  // namespace trunkline::peers
