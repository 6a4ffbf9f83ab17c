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
  append("a");
  const std::string epoch = log.epoch();
  pass(seconds(301));
  EXPECT_TRUE(log.window().empty());
  EXPECT_EQ(log.top(), (Position{epoch, Offset{1}}));
}

TEST_F(MemoryEngineTest, AReleasedLogIsFoundAgainWithinItsMetaTime) {
  const std::string epoch = engine.open("a", history).epoch();
  append("a");
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
  append("quiet", 1000);
  while (engine.stats().evicted_logs == 0) {
    append("busy", 1000);
    ASSERT_LT(busy.head().value, 1000U);
  }
  EXPECT_TRUE(quiet.window().empty());
  EXPECT_FALSE(busy.window().empty());
  EXPECT_LE(engine.stats().memory_bytes, 100'000U);
}

TEST_F(MemoryEngineTest, TheNewestPublicationOfTheLastLogStays) {
  const Log& log = engine.open("a", history);
  append("a", 90'000);
  append("a", 90'000);
  EXPECT_EQ(log.window().size(), 1U);
  EXPECT_EQ(log.window().first(), Offset{2});
}

TEST_F(MemoryEngineTest, MemoryIsGivenBack) {
  engine.open("a", history);
  append("a", 50'000);
  engine.release("a", Duration{0}, now);
  EXPECT_EQ(engine.stats().memory_bytes, 0U);
  EXPECT_EQ(engine.stats().logs, 0U);
}

}  // namespace
}  // namespace trunkline::replay
