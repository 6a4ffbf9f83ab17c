// SPDX-License-Identifier: Apache-2.0
#include "session/drain_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace trunkline::session {
namespace {

using namespace std::chrono_literals;

std::vector<std::uint64_t> connections(std::size_t count) {
  std::vector<std::uint64_t> ids(count);
  std::iota(ids.begin(), ids.end(), 1);
  return ids;
}

TEST(DrainSchedule, TheWindowGrowsWithTheClientsAndHasAnEnd) {
  EXPECT_EQ(DrainSchedule::window(500, 1000, 15s), 500ms);
  EXPECT_EQ(DrainSchedule::window(0, 1000, 15s), 0ms);
  EXPECT_EQ(DrainSchedule::window(100'000, 1000, 15s), 15s);
  EXPECT_EQ(DrainSchedule::window(100'000, 0, 15s), 0s) << "all at once";
}

TEST(DrainSchedule, EveryoneHasOneMomentInTheWindow) {
  Random random(1);
  const TimePoint start(1h);
  DrainSchedule schedule(connections(1000), start, 10s, random);
  std::vector<std::uint64_t> told;
  std::vector<std::size_t> by_second;
  for (auto moment = schedule.next_moment(); moment.has_value(); moment = schedule.next_moment()) {
    ASSERT_GE(*moment, start);
    ASSERT_LT(*moment, start + 10s);
    ASSERT_EQ(schedule.next_due(*moment - 1ns), std::nullopt) << "not before its moment";
    const auto id = schedule.next_due(*moment);
    ASSERT_TRUE(id.has_value());
    told.push_back(*id);
    by_second.resize(static_cast<std::size_t>((*moment - start) / 1s) + 1);
    ++by_second.back();
  }
  std::ranges::sort(told);
  EXPECT_EQ(told, connections(1000));
  ASSERT_EQ(by_second.size(), 10U);
  for (const std::size_t count : by_second) {
    EXPECT_GT(count, 50U) << "about a hundred in each second";
    EXPECT_LT(count, 150U);
  }
}

TEST(DrainSchedule, WithoutAWindowAllAreDueAtOnce) {
  Random random(1);
  const TimePoint start(1h);
  DrainSchedule schedule(connections(3), start, 0s, random);
  EXPECT_TRUE(schedule.next_due(start).has_value());
  EXPECT_TRUE(schedule.next_due(start).has_value());
  EXPECT_TRUE(schedule.next_due(start).has_value());
  EXPECT_EQ(schedule.next_due(start), std::nullopt);
  EXPECT_EQ(schedule.next_moment(), std::nullopt);
}

}  // namespace
}  // namespace trunkline::session
