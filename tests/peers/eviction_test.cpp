// SPDX-License-Identifier: Apache-2.0
#include "peers/eviction.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSalt = 99;

// `count` of them, the later the younger, each of a network of its own.
std::vector<Candidate> crowd(std::uint64_t count) {
  std::vector<Candidate> all;
  for (std::uint64_t i = 1; i <= count; ++i) {
    all.push_back(
        {PeerId{i}, {i, NetKey::Family::kV4}, false, TimePoint{std::chrono::seconds(i)}, {}});
  }
  return all;
}

TEST(Eviction, TheYoungestDiscouragedGoesFirst) {
  auto all = crowd(40);
  all[3].is_discouraged = all[7].is_discouraged = true;
  EXPECT_EQ(choose_victim(all, kSalt), PeerId{8});
}

TEST(Eviction, OfTheMostCrowdedNetworkTheYoungest) {
  auto all = crowd(64);
  for (std::size_t i = 40; i < 56; ++i) {
    all[i].group = {1000, NetKey::Family::kV4};
  }
  const auto victim = choose_victim(all, kSalt);
  ASSERT_TRUE(victim.has_value());
  EXPECT_EQ(all[victim->value - 1].group, (NetKey{1000, NetKey::Family::kV4}));
}

TEST(Eviction, MeritsProtect) {
  auto all = crowd(64);
  for (Candidate& one : all) {
    one.group = {1000, NetKey::Family::kV4};
  }
  // The youngest three would be the first to go, one after the other.
  all[63].merit.value = 1;
  all[62].merit.useful_bytes = 1;
  all[61].merit.round_trip = std::chrono::microseconds(1);
  const auto victim = choose_victim(all, kSalt);
  ASSERT_TRUE(victim.has_value());
  EXPECT_EQ(std::ranges::count(std::vector<std::uint64_t>{62, 63, 64}, victim->value), 0);
}

TEST(Eviction, TheOlderHalfStays) {
  for (std::uint64_t salt = 0; salt < 50; ++salt) {
    const auto victim = choose_victim(crowd(64), salt);
    ASSERT_TRUE(victim.has_value());
    EXPECT_GT(victim->value, 32U);
  }
}

TEST(Eviction, AFewAreAllWorthKeeping) {
  EXPECT_FALSE(choose_victim(crowd(4), kSalt).has_value());
  EXPECT_FALSE(choose_victim({}, kSalt).has_value());
}

TEST(Eviction, TheOrderOfCandidatesDoesNotMatter) {
  auto all = crowd(50);
  const auto victim = choose_victim(all, kSalt);
  std::ranges::reverse(all);
  EXPECT_EQ(choose_victim(all, kSalt), victim);
}

TEST(Eviction, TrimmingTakesTheLeastWorth) {
  auto all = crowd(5);
  all[0].merit.value = -1;
  all[1].merit.useful_bytes = 10;
  all[2].is_discouraged = true;
  EXPECT_EQ(choose_trimmed(all, 4), (std::vector{PeerId{3}, PeerId{1}, PeerId{5}, PeerId{4}}));
  EXPECT_EQ(choose_trimmed(all, 100).size(), 5U);
}

}  // namespace
}  // namespace trunkline::peers
