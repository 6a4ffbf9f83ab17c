// SPDX-License-Identifier: Apache-2.0
#include "hub/history.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace trunkline::hub {
namespace {

// Publication n of the log is the text "n".
class Number final : public replay::FrameEncoder {
 public:
  [[nodiscard]] replay::EncodedFrame encode(std::string_view /*epoch*/,
                                            Offset offset) const override {
    const std::string text = std::to_string(offset.value);
    return {.bytes = "[" + text + "]",
            .body_begin = 1,
            .body_bytes = static_cast<std::uint32_t>(text.size())};
  }
};

class HistoryTest : public ::testing::Test {
 protected:
  void append(int count) {
    for (int i = 0; i < count; ++i) {
      log.append(Number(), TimePoint{});
    }
  }

  [[nodiscard]] std::string read(const HistoryQuery& query, std::uint64_t history_first = 1) const {
    const Result<History> history = read_history(log, Offset{history_first}, query);
    return history.has_value() ? history->publications : std::string(name(history.error().code));
  }

  replay::Log log{"e"};
};

// The definition, one publication after another.
std::string model(std::uint64_t head, std::uint64_t history_first, const HistoryQuery& query) {
  std::string joined;
  std::size_t left = query.limit;
  for (std::uint64_t i = 1; i <= head; ++i) {
    const std::uint64_t offset = query.reverse ? head + 1 - i : i;
    const bool wanted =
        !query.since.has_value() ||
        (query.reverse ? offset < query.since->offset.value : offset > query.since->offset.value);
    if (offset >= history_first && wanted && left > 0) {
      joined += (joined.empty() ? "" : ",") + std::to_string(offset);
      --left;
    }
  }
  return joined;
}

TEST_F(HistoryTest, EqualsTheDefinitionForEverySmallQuery) {
  for (std::uint64_t head = 0; head <= 5; ++head) {
    for (std::uint64_t first = 1; first <= head + 1; ++first) {
      for (const bool reverse : {false, true}) {
        for (std::size_t limit = 0; limit <= 6; ++limit) {
          HistoryQuery query{.since = {}, .reverse = reverse, .limit = limit};
          ASSERT_EQ(read(query, first), model(head, first, query));
          for (const std::uint64_t since : {0UL, 1UL, 2UL, 3UL, 4UL, 5UL, 6UL, 9UL, UINT64_MAX}) {
            query.since = Position{"e", Offset{since}};
            ASSERT_EQ(read(query, first), model(head, first, query))
                << "head " << head << " first " << first << " limit " << limit << " since " << since
                << (reverse ? " reversed" : "");
          }
        }
      }
    }
    append(1);
  }
}

TEST_F(HistoryTest, TheLargestLimitIsNoTrap) {
  append(3);
  EXPECT_EQ(read({.since = {}, .reverse = false, .limit = SIZE_MAX}), "1,2,3");
  EXPECT_EQ(read({.since = {}, .reverse = true, .limit = SIZE_MAX}), "3,2,1");
}

TEST_F(HistoryTest, APositionOfAnotherEpochIsAnErrorEvenWithoutPublications) {
  append(1);
  for (const std::size_t limit : {0U, 5U}) {
    EXPECT_EQ(read({.since = Position{"other", Offset{1}}, .reverse = false, .limit = limit}),
              "unrecoverable_position");
  }
  EXPECT_EQ(read({.since = Position{"", Offset{0}}, .reverse = false, .limit = 5}), "1");
}

TEST_F(HistoryTest, AlwaysNamesTheTop) {
  append(4);
  const Result<History> history = read_history(log, Offset{1}, HistoryQuery{});
  ASSERT_TRUE(history.has_value());
  EXPECT_EQ(history->top, (Position{"e", Offset{4}}));
}

}  // namespace
}  // namespace trunkline::hub
