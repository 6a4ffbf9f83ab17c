// SPDX-License-Identifier: Apache-2.0
#include "ws/close_code.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::ws {
namespace {

TEST(CloseCode, MayBeSentInTheRangesOfTheRegistryOnly) {
  std::string ranges;
  bool inside = false;
  for (unsigned code = 0; code <= 0xFFFF; ++code) {
    if (may_be_sent(static_cast<CloseCode>(code)) != inside) {
      ranges += inside ? std::to_string(code - 1) + " " : std::to_string(code) + "-";
      inside = !inside;
    }
  }
  EXPECT_EQ(ranges, "1000-1003 1007-1014 3000-4999 ");
}

TEST(CloseCode, AnswersEachErrorOfTheRoom) {
  EXPECT_EQ(close_code(ErrorCode::kProtocolError), 1002);
  EXPECT_EQ(close_code(ErrorCode::kInvalidPayload), 1007);
  EXPECT_EQ(close_code(ErrorCode::kMessageTooBig), 1009);
}

TEST(CloseCode, AnswersAnyOtherErrorAsInternal) {
  EXPECT_EQ(close_code(ErrorCode::kTimeout), 1011);
}

}  // namespace
}  // namespace trunkline::ws
