// SPDX-License-Identifier: Apache-2.0
#include "hub/resume.h"

#include <gtest/gtest.h>

namespace trunkline::hub {
namespace {

constexpr std::uint64_t kLargest = UINT64_MAX;

// Every position against every log of up to six publications, by what the definition says.
TEST(Resume, IsAllowedExactlyWhenNothingBetweenIsMissing) {
  for (std::uint64_t top = 0; top <= 6; ++top) {
    for (std::uint64_t first = 1; first <= top + 1; ++first) {
      const Attached attached{.top = Position{"e", Offset{top}}, .history_first = Offset{first}};
      for (std::uint64_t since = 0; since <= 8; ++since) {
        bool missing = since > top;
        for (std::uint64_t needed = since + 1; needed <= top; ++needed) {
          missing = missing || needed < first;
        }
        const std::optional<Offset> next = resume_from(attached, Position{"e", Offset{since}});
        ASSERT_EQ(next.has_value(), !missing) << top << " " << first << " " << since;
        if (next.has_value()) {
          ASSERT_EQ(next->value, since + 1);
        }
      }
    }
  }
}

TEST(Resume, AnotherEpochIsRefusedAndAnEmptyOneMatches) {
  const Attached attached{.top = Position{"e", Offset{3}}, .history_first = Offset{1}};
  EXPECT_FALSE(resume_from(attached, Position{"f", Offset{3}}).has_value());
  EXPECT_FALSE(resume_from(attached, Position{"E", Offset{3}}).has_value());
  EXPECT_TRUE(resume_from(attached, Position{"", Offset{3}}).has_value());
}

TEST(Resume, TheSentinelEpochNeverMatches) {
  const Attached attached{.top = Position{"e", Offset{0}}, .history_first = Offset{1}};
  EXPECT_FALSE(resume_from(attached, Position{"_", Offset{0}}).has_value());
}

TEST(Resume, TheLargestOffsetIsBeyondEveryTop) {
  const Attached attached{.top = Position{"e", Offset{3}}, .history_first = Offset{1}};
  EXPECT_FALSE(resume_from(attached, Position{"e", Offset{kLargest}}).has_value());
  EXPECT_FALSE(resume_from(attached, Position{"", Offset{kLargest}}).has_value());
}

}  // namespace
}  // namespace trunkline::hub
