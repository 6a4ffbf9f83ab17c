// SPDX-License-Identifier: Apache-2.0
#include "grid_table.h"

#include <gtest/gtest.h>

namespace trunkline::app {
namespace {

GridSamples samples(std::uint64_t clock_us, const GridSample& sample) {
  return {.node = "a:1", .clock_us = clock_us, .peers = {sample}};
}

TEST(GridTable, CountsBecomeRatesByTheNodesOwnClock) {
  GridTable table;
  const GridSample before{.peer = "b:1", .state = "connected", .connects = 1, .bytes_sent = 1000};
  EXPECT_NE(table.render(samples(1'000'000, before)).find("a:1: 1 of 1 peers connected"),
            std::string::npos);
  GridSample after = before;
  after.bytes_sent = 12'345'000;
  after.messages_received = 50;
  after.round_trip_us = 1500;
  const std::string shown = table.render(samples(3'000'000, after));
  EXPECT_NE(shown.find("6.2M"), std::string::npos) << shown;
  EXPECT_NE(shown.find("  25 "), std::string::npos) << shown;
  EXPECT_NE(shown.find("1.5 ms"), std::string::npos) << shown;
}

TEST(GridTable, AnotherConnectionCountsFromZero) {
  GridTable table;
  GridSample sample{.peer = "b:1", .state = "connected", .connects = 1, .bytes_sent = 5'000'000};
  static_cast<void>(table.render(samples(1'000'000, sample)));
  sample.connects = 3;
  sample.bytes_sent = 700;
  const std::string shown = table.render(samples(2'000'000, sample));
  EXPECT_NE(shown.find(" 700 "), std::string::npos) << shown;
  EXPECT_NE(shown.find("         2  "), std::string::npos) << shown;
}

TEST(GridTable, WhatANodeSaysIsReadAndMadeHarmless) {
  const auto parsed = parse_samples(
      R"({"name":"a:1","clock_us":5,"peers":[{"name":"\u001b[2Jb","state":"waiting","connects":2}]})");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->peers.at(0).peer, "?[2Jb");
  EXPECT_EQ(parsed->peers.at(0).connects, 2U);
  for (const char* other : {"", "[]", "{}", R"({"peers":1})", "{\"peers\":[\xff]}"}) {
    EXPECT_FALSE(parse_samples(other).has_value()) << other;
  }
  EXPECT_TRUE(parse_samples(R"({"peers":[1,null,{"name":2,"connects":-1}]})").has_value());
}

}  // namespace
}  // namespace trunkline::app
