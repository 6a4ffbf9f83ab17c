// SPDX-License-Identifier: Apache-2.0
#include "peers/dial_plan.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::peers {
namespace {

std::vector<PeerEndpoint> endpoints(std::initializer_list<const char*> texts) {
  std::vector<PeerEndpoint> all;
  for (const char* text : texts) {
    all.push_back(parse_endpoint(text).value());
  }
  return all;
}

TEST(DialPlan, FamiliesByTurnsFromTheFirst) {
  EXPECT_EQ(interleaved(endpoints({"1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1", "[::1]:1"}), 9),
            endpoints({"1.0.0.1:1", "[::1]:1", "1.0.0.2:1", "1.0.0.3:1"}));
  EXPECT_EQ(interleaved(endpoints({"[::1]:1", "[::2]:1", "1.0.0.1:1"}), 9),
            endpoints({"[::1]:1", "1.0.0.1:1", "[::2]:1"}));
}

TEST(DialPlan, TwiceIsOnceAndTooManyAreLeftOut) {
  EXPECT_EQ(interleaved(endpoints({"1.0.0.1:1", "1.0.0.1:1", "[::1]:1", "1.0.0.2:1"}), 2),
            endpoints({"1.0.0.1:1", "[::1]:1"}));
  EXPECT_TRUE(interleaved({}, 3).empty());
}

TEST(DialPlan, HasFailedWhenAllHave) {
  DialPlan plan(endpoints({"1.0.0.1:1", "1.0.0.2:1"}));
  const TimePoint now;
  plan.start_next(now, std::chrono::milliseconds(250));
  plan.on_failed();
  EXPECT_FALSE(plan.has_failed());
  EXPECT_EQ(plan.next_due(), now + std::chrono::milliseconds(250));
  EXPECT_EQ(plan.start_next(now, {}), 1U);
  EXPECT_FALSE(plan.next_due().has_value());
  EXPECT_EQ(plan.start_next(now, {}), std::nullopt);
  plan.on_failed();
  EXPECT_TRUE(plan.has_failed());
}

}  // namespace
}  // namespace trunkline::peers
