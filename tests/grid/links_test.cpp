// SPDX-License-Identifier: Apache-2.0
#include "grid/links.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trunkline::grid {
namespace {

Link link(std::uint8_t instance, Side side) {
  Link link;
  link.instance.fill(instance);
  link.side = side;
  return link;
}

TEST(Links, BothNodesAgreeWhoDialsAndDiallingIsSpread) {
  constexpr int kNodes = 40;
  for (int i = 0; i < kNodes; ++i) {
    int dials = 0;
    for (int j = 0; j < kNodes; ++j) {
      const std::string a = fmt::format("node-{}.example:7000", i);
      const std::string b = fmt::format("node-{}.example:7000", j);
      if (i != j) {
        EXPECT_NE(is_designated(a, b), is_designated(b, a));
        dials += is_designated(a, b) ? 1 : 0;
      }
    }
    EXPECT_GT(dials, kNodes / 5) << i;
    EXPECT_LT(dials, kNodes * 4 / 5) << i;
  }
}

TEST(Links, TheSameDiallerComesAgainOnlyWhenItHasLostTheOldOne) {
  for (const Side side : {Side::kDialler, Side::kAcceptor}) {
    EXPECT_EQ(judge(link(1, side), link(1, side), true), LinkVerdict::kReplace);
    EXPECT_EQ(judge(link(1, side), link(1, side), false), LinkVerdict::kReplace);
  }
}

TEST(Links, OfTwoThatCrossBothNodesKeepTheSameOne) {
  // X was dialled by the designated node, Y by the other one. Whichever comes first at a node, X
  // stays.
  for (const bool designated : {false, true}) {
    const Side x = designated ? Side::kDialler : Side::kAcceptor;
    const Side y = designated ? Side::kAcceptor : Side::kDialler;
    EXPECT_EQ(judge(link(1, y), link(1, x), designated), LinkVerdict::kMoveOld);
    const LinkVerdict late = judge(link(1, x), link(1, y), designated);
    EXPECT_EQ(late, designated ? LinkVerdict::kProbeOld : LinkVerdict::kMoveNew);
  }
}

TEST(Links, AnotherInstanceComesInOnlyWhenTheOldOneIsDead) {
  for (const Side old_side : {Side::kDialler, Side::kAcceptor}) {
    EXPECT_EQ(judge(link(1, old_side), link(2, Side::kAcceptor), true), LinkVerdict::kProbeOld);
    EXPECT_EQ(judge(link(1, old_side), link(2, Side::kDialler), true), LinkVerdict::kReplace);
  }
}

}  // namespace
}  // namespace trunkline::grid
