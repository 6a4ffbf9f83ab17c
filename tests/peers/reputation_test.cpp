// SPDX-License-Identifier: Apache-2.0
#include "peers/reputation.h"

#include <gtest/gtest.h>

#include <limits>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

class ReputationTest : public ::testing::Test {
 protected:
  static NetKey host(std::uint64_t number) { return {number, NetKey::Family::kV4}; }

  const ScoreSettings score{60s, 1800s};
  TimePoint now{1h};
};

TEST_F(ReputationTest, TheDecayingPartHalves) {
  BanScore one;
  one.add(10, 80, score, now);
  EXPECT_DOUBLE_EQ(one.at(score, now), 90);
  EXPECT_DOUBLE_EQ(one.at(score, now + 60s), 50);
  EXPECT_DOUBLE_EQ(one.at(score, now + 120s), 30);
  EXPECT_DOUBLE_EQ(one.at(score, now + 1800s), 10);
}

TEST_F(ReputationTest, WhatIsAddedLaterDecaysFromThen) {
  BanScore one;
  one.add(0, 80, score, now);
  one.add(0, 10, score, now + 60s);
  EXPECT_DOUBLE_EQ(one.at(score, now + 60s), 50);
  EXPECT_DOUBLE_EQ(one.at(score, now + 120s), 25);
}

TEST_F(ReputationTest, AmountsThatAreNoneCountAsNothing) {
  BanScore one;
  one.add(-5, std::numeric_limits<double>::quiet_NaN(), score, now);
  one.add(std::numeric_limits<double>::infinity(), -1, score, now);
  EXPECT_DOUBLE_EQ(one.at(score, now), 0);
}

TEST_F(ReputationTest, StandingGetsWorseAndBetter) {
  Reputation reputation({});
  EXPECT_EQ(reputation.penalize(host(1), "a", 0, 49, now), std::nullopt);
  EXPECT_EQ(reputation.penalize(host(1), "a", 0, 2, now), Standing::kDiscouraged);
  EXPECT_EQ(reputation.standing(host(1), now + 60s), Standing::kGood);
  EXPECT_EQ(reputation.penalize(host(1), "a", 0, 60, now), Standing::kBanned);
  EXPECT_EQ(reputation.standing(host(1), now + 23h), Standing::kBanned);
  EXPECT_EQ(reputation.standing(host(1), now + 24h), Standing::kGood);
}

TEST_F(ReputationTest, TheTableForgetsTheOldestThatIsNotBanned) {
  Reputation reputation({.score = {}, .hosts_max = 3});
  reputation.ban(host(1), "a", 1h, now);
  reputation.penalize(host(2), "b", 10, 0, now);
  reputation.penalize(host(3), "c", 10, 0, now);
  reputation.penalize(host(4), "d", 10, 0, now);
  EXPECT_EQ(reputation.size(), 3U);
  EXPECT_EQ(reputation.standing(host(1), now), Standing::kBanned);
  EXPECT_DOUBLE_EQ(reputation.score(host(2), now), 0);
  EXPECT_DOUBLE_EQ(reputation.score(host(3), now), 10);
}

TEST_F(ReputationTest, ATableOfBannedHostsForgetsTheOldest) {
  Reputation reputation({.score = {}, .hosts_max = 2});
  for (std::uint64_t i = 1; i <= 3; ++i) {
    reputation.ban(host(i), "a", 1h, now);
  }
  EXPECT_EQ(reputation.banned_count(), 2U);
  EXPECT_EQ(reputation.standing(host(1), now), Standing::kGood);
}

TEST_F(ReputationTest, TheNextEndIsTheEarliest) {
  Reputation reputation({});
  reputation.ban(host(1), "a", 2h, now);
  reputation.ban(host(2), "b", 1h, now);
  EXPECT_EQ(reputation.next_end(), now + 1h);
  EXPECT_EQ(reputation.take_ended(now + 1h), std::vector<std::string>{"b"});
  EXPECT_EQ(reputation.next_end(), now + 2h);
}

TEST_F(ReputationTest, ALongerBanIsNotShortened) {
  Reputation reputation({});
  reputation.ban(host(1), "a", 2h, now);
  EXPECT_FALSE(reputation.ban(host(1), "a", 1h, now));
  EXPECT_EQ(reputation.banned_until(host(1), now), now + 2h);
}

}  // namespace
}  // namespace trunkline::peers
