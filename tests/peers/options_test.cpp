// SPDX-License-Identifier: Apache-2.0
#include "peers/machine.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace trunkline::peers {
namespace {

using std::chrono::milliseconds;

TEST(PeerOptions, DefaultsAreGood) {
  EXPECT_TRUE(check_options({}).has_value());
}

TEST(PeerOptions, WhatCannotBeIsRefused) {
  const std::vector<std::function<void(PeerOptions&)>> breaks = {
      [](PeerOptions& o) { o.dial_timeout = milliseconds(0); },
      [](PeerOptions& o) { o.retry_max = milliseconds(1); },
      [](PeerOptions& o) { o.good_after = milliseconds(-1); },
      [](PeerOptions& o) { o.ban_duration = milliseconds::max(); },
      [](PeerOptions& o) { o.dials_in_flight_max = 0; },
      [](PeerOptions& o) { o.book_addresses_max = 0; },
      [](PeerOptions& o) { o.low_water = 1; },
      [](PeerOptions& o) { o.ban_score = 0; },
      [](PeerOptions& o) { o.group_prefix_v4 = 33; },
  };
  for (std::size_t i = 0; i < breaks.size(); ++i) {
    PeerOptions options;
    breaks[i](options);
    const auto checked = check_options(options);
    ASSERT_FALSE(checked.has_value()) << i;
    EXPECT_EQ(checked.error().code, ErrorCode::kConfig) << i;
  }
}

}  // namespace
}  // namespace trunkline::peers
