// SPDX-License-Identifier: Apache-2.0
#include "replay/memory_engine.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::replay {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class Frame final : public FrameEncoder {
 public:
  explicit Frame(std::size_t bytes) : bytes_(bytes) {}

  [[nodiscard]] EncodedFrame encode(std::string_view /*epoch*/, Offset /*offset*/) const override {
    return {.bytes = std::string(bytes_, 'x'), .body_begin = 0, .body_bytes = 1};
  }

 private:
  std::size_t bytes_;
};

class MemoryEngineTest : public ::testing::Test {
 protected:
  void append(const std::string& channel, std::size_t bytes = 10) {
    engine.append(channel, Frame(bytes), now,
                  [](const Result<Offset>& offset) { EXPECT_TRUE(offset.has_value()); });
  }

  // A turn with one publication.
  void publish(const std::string& channel, std::size_t bytes = 10) {
    append(channel, bytes);
    engine.trim(channel, now);
  }

  void pass(Duration duration) {
    now += duration;
    timers.advance(now);
  }

  TimePoint now;
  TimerWheel timers{now};
  Random random{1};
  MemoryEngine engine{{.total_bytes_max = 100'000}, timers, random};
  Retention history{.count_max = 1000, .bytes_max = 0, .age_max = seconds(300)};
};

TEST_F(MemoryEngineTest, APositionExistsFromTheOpeningOn) {
  const Log& log = engine.open("a", history);
  EXPECT_EQ(log.head(), Offset{0});
  EXPECT_EQ(log.epoch().size(), 8U);
}

TEST_F(MemoryEngineTest, AgeForgetsPublicationsByItselfAndKeepsThePosition) {
  const Log& log = engine.open("a", history);
  publish("a");
  const std::string epoch = log.epoch();
  pass(seconds(301));
  EXPECT_TRUE(log.window().empty());
  EXPECT_EQ(log.top(), (Position{epoch, Offset{1}}));
}

TEST_F(MemoryEngineTest, AReleasedLogIsFoundAgainWithinItsMetaTime) {
  const std::string epoch = engine.open("a", history).epoch();
  publish("a");
  engine.release("a", hours(1), now);
  pass(seconds(60));
  const Log& log = engine.open("a", history);
  EXPECT_EQ(log.epoch(), epoch);
  EXPECT_EQ(log.window().size(), 1U);
}

TEST_F(MemoryEngineTest, AfterItsMetaTimeALogHasAnotherEpoch) {
  const std::string epoch = engine.open("a", history).epoch();
  engine.release("a", hours(1), now);
  pass(hours(2));
  EXPECT_NE(engine.open("a", history).epoch(), epoch);
}

TEST_F(MemoryEngineTest, TheQuietestLogIsEmptiedWhenTheTotalIsReached) {
  const Log& quiet = engine.open("quiet", history);
  const Log& busy = engine.open("busy", history);
  publish("quiet", 1000);
  while (engine.stats().evicted_logs == 0) {
    publish("busy", 1000);
    ASSERT_LT(busy.head().value, 1000U);
  }
  EXPECT_TRUE(quiet.window().empty());
  EXPECT_FALSE(busy.window().empty());
  EXPECT_LE(engine.stats().memory_bytes, 100'000U);
}

TEST_F(MemoryEngineTest, TheNewestPublicationOfTheLastLogStays) {
  const Log& log = engine.open("a", history);
  publish("a", 90'000);
  publish("a", 90'000);
  EXPECT_EQ(log.window().size(), 1U);
  EXPECT_EQ(log.window().first(), Offset{2});
}

TEST_F(MemoryEngineTest, AClearedLogGivesItsHistoryToNobodyAndForgetsItSoon) {
  const Log& log = engine.open("a", history);
  publish("a");
  publish("a");
  engine.clear("a");
  EXPECT_EQ(log.history_first(history, now), Offset{3});
  pass(kCatchUp.age_max + seconds(1));
  EXPECT_TRUE(log.window().empty());
  publish("a");
  EXPECT_EQ(log.head(), Offset{3});
  EXPECT_EQ(log.history_first(history, now), Offset{3});
}

TEST_F(MemoryEngineTest, DataGoesByItsAgeAndThePositionByItsOwn) {
  const std::string epoch = engine.open("a", history).epoch();
  publish("a");
  engine.release("a", hours(1), now);
  pass(seconds(400));
  const Log& again = engine.open("a", history);
  EXPECT_TRUE(again.window().empty());
  EXPECT_EQ(again.top(), (Position{epoch, Offset{1}}));
  // Opened again, the time of its position does not run.
  pass(hours(3));
  EXPECT_EQ(again.epoch(), epoch);
}

TEST_F(MemoryEngineTest, LogsAreEvictedInTheOrderOfTheirLastPublication) {
  const Log& first = engine.open("1", history);
  const Log& second = engine.open("2", history);
  engine.open("3", history);
  publish("1");
  publish("2", 40'000);
  publish("1");  // no longer the quietest
  publish("3", 70'000);
  EXPECT_TRUE(second.window().empty());
  EXPECT_EQ(first.window().size(), 2U);
  EXPECT_EQ(engine.stats().evicted_logs, 1U);
  EXPECT_EQ(engine.stats().evicted_publications, 1U);
}

TEST_F(MemoryEngineTest, AccountsForEveryByteUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random choice(seed);
    for (int step = 0; step < 400; ++step) {
      const std::string channel = std::to_string(choice.below(6));
      engine.open(channel, history);
      switch (choice.below(5)) {
        case 0:
          engine.clear(channel);
          break;
        case 1:
          engine.release(channel, seconds(choice.below(100)), now);
          pass(seconds(choice.below(40)));
          break;
        case 2:
          engine.trim(channel, now);
          break;
        default:
          publish(channel, 1 + choice.below(9000));
      }
      ASSERT_LE(engine.stats().memory_bytes, 100'000U);
    }
    for (int channel = 0; channel < 6; ++channel) {
      engine.open(std::to_string(channel), history);
      engine.release(std::to_string(channel), Duration{0}, now);
    }
    ASSERT_EQ(engine.stats().memory_bytes, 0U);
    ASSERT_EQ(engine.stats().logs, 0U);
  }
}

TEST_F(MemoryEngineTest, WhatATurnAppendsIsNotEvictedBeforeItIsHandedOut) {
  const Log& first = engine.open("1", history);
  engine.open("2", history);
  append("1", 60'000);
  append("2", 60'000);
  EXPECT_EQ(first.window().size(), 1U);
  engine.trim("2", now);
  EXPECT_TRUE(first.window().empty());
}

TEST_F(MemoryEngineTest, ShrinkingForgetsQuietLogsFirstAndKeepsPositions) {
  const Log& quiet = engine.open("quiet", history);
  const Log& busy = engine.open("busy", history);
  publish("quiet", 5000);
  publish("busy", 5000);
  const std::uint64_t before = engine.stats().memory_bytes;
  engine.shrink(1);
  EXPECT_TRUE(quiet.window().empty());
  EXPECT_EQ(quiet.head(), Offset{1});
  EXPECT_FALSE(busy.window().empty());
  EXPECT_LE(engine.stats().memory_bytes, before - 5000);
  engine.shrink(1'000'000);
  EXPECT_TRUE(busy.window().empty());
  EXPECT_EQ(engine.stats().evicted_publications, 2U);
  EXPECT_EQ(engine.stats().evicted_logs, 2U);
}

TEST_F(MemoryEngineTest, MemoryIsGivenBack) {
  engine.open("a", history);
  publish("a", 50'000);
  engine.release("a", Duration{0}, now);
  EXPECT_EQ(engine.stats().memory_bytes, 0U);
  EXPECT_EQ(engine.stats().logs, 0U);
}

}  // namespace
}  // namespace trunkline::replay
