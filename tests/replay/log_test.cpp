// SPDX-License-Identifier: Apache-2.0
#include "replay/log.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

namespace trunkline::replay {
namespace {

using std::chrono::seconds;

// Frames "<offset:body>", whose body is the part behind the colon.
class TextEncoder final : public FrameEncoder {
 public:
  explicit TextEncoder(std::string body) : body_(std::move(body)) {}

  [[nodiscard]] EncodedFrame encode(std::string_view /*epoch*/, Offset offset) const override {
    const std::string head = "<" + std::to_string(offset.value) + ":";
    return {.bytes = head + body_ + ">",
            .body_begin = static_cast<std::uint32_t>(head.size()),
            .body_bytes = static_cast<std::uint32_t>(body_.size())};
  }

 private:
  std::string body_;
};

class LogTest : public ::testing::Test {
 protected:
  void append(const std::string& body) { log.append(TextEncoder(body), now); }

  Log log{"epoch"};
  TimePoint now;
  Retention history{.count_max = 5, .bytes_max = 0, .age_max = seconds(60)};
};

TEST_F(LogTest, GivesOffsetsFromOneWithoutHoles) {
  EXPECT_EQ(log.head(), Offset{0});
  append("a");
  append("b");
  EXPECT_EQ(log.head(), Offset{2});
  EXPECT_EQ(log.window().frame(Offset{2}), "<2:b>");
  EXPECT_EQ(log.window().body(Offset{1}), "a");
}

TEST_F(LogTest, HistoryIsBoundedByCount) {
  for (int i = 0; i < 8; ++i) {
    append("x");
  }
  EXPECT_EQ(log.history_first(history, now), Offset{4});
}

TEST_F(LogTest, HistoryIsBoundedByBytesButKeepsTheNewest) {
  history.bytes_max = 30;
  for (int i = 0; i < 5; ++i) {
    append("0123456789");  // frames of 14 bytes
  }
  EXPECT_EQ(log.history_first(history, now), Offset{4});
  append(std::string(100, 'x'));
  EXPECT_EQ(log.history_first(history, now), Offset{6});
}

TEST_F(LogTest, HistoryIsBoundedByAge) {
  append("old");
  now += seconds(40);
  append("new");
  now += seconds(20);
  EXPECT_EQ(log.history_first(history, now), Offset{2});
}

TEST_F(LogTest, WithoutHistoryThereIsNothingToResumeFrom) {
  append("x");
  EXPECT_EQ(log.history_first(Retention{}, now), Offset{2});
}

TEST_F(LogTest, TrimKeepsWhatCursorsALittleBehindNeed) {
  for (int i = 0; i < 20; ++i) {
    append("x");
  }
  log.trim(history, now);
  EXPECT_EQ(log.window().first(), Offset{1});
  now += kCatchUp.age_max;
  log.trim(history, now);
  EXPECT_EQ(log.window().first(), Offset{16});
}

TEST_F(LogTest, ClearForgetsPublicationsButNotThePosition) {
  append("x");
  log.clear();
  EXPECT_TRUE(log.window().empty());
  EXPECT_EQ(log.head(), Offset{1});
  append("y");
  EXPECT_EQ(log.window().frame(Offset{2}), "<2:y>");
}

TEST_F(LogTest, AnEndedHistoryIsKeptForCatchUpOnly) {
  append("x");
  log.end_history();
  EXPECT_EQ(log.history_first(history, now), Offset{2});
  EXPECT_EQ(log.expires_at(history), now + kCatchUp.age_max);
  append("y");
  EXPECT_EQ(log.history_first(history, now), Offset{2});
  log.trim(history, now);
  EXPECT_EQ(log.window().first(), Offset{1});
  now += kCatchUp.age_max;
  log.trim(history, now);
  EXPECT_EQ(log.window().first(), Offset{2});
}

TEST_F(LogTest, EachLimitOfHistoryBindsWhereItIsTheTightest) {
  for (int i = 0; i < 10; ++i) {
    append("0123456789");  // frames of 14 bytes, the tenth of 15; a second each
    now += seconds(1);
  }
  EXPECT_EQ(log.history_first({3, 1000, seconds(60)}, now), Offset{8});
  EXPECT_EQ(log.history_first({100, 45, seconds(60)}, now), Offset{8});
  EXPECT_EQ(log.history_first({100, 0, seconds(4)}, now), Offset{8});
  EXPECT_EQ(log.history_first({100, 0, Duration{0}}, now), Offset{11});
}

TEST_F(LogTest, CatchUpIsBoundedByCountAndBytesToo) {
  for (std::size_t i = 0; i < kCatchUp.count_max + 10; ++i) {
    append("");
  }
  log.trim(Retention{}, now);
  EXPECT_EQ(log.window().size(), kCatchUp.count_max);
  append(std::string(kCatchUp.bytes_max, 'x'));
  log.trim(Retention{}, now);
  EXPECT_EQ(log.window().size(), 1U);
}

TEST_F(LogTest, PublicationsStayWholeAcrossTheBordersOfSegments) {
  for (std::size_t i = 0; i < 200; ++i) {
    append(std::string(i * 7 % 400, static_cast<char>('a' + i % 26)));
  }
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::string body(i * 7 % 400, static_cast<char>('a' + i % 26));
    ASSERT_EQ(log.window().body(Offset{i + 1}), body);
    ASSERT_EQ(log.window().frame(Offset{i + 1}), "<" + std::to_string(i + 1) + ":" + body + ">");
  }
}

TEST_F(LogTest, ExpiresWhenTheOldestIsTooOldForHistoryAndCatchUp) {
  append("x");
  EXPECT_EQ(log.expires_at(history), now + seconds(60));
  EXPECT_EQ(log.expires_at(Retention{}), now + kCatchUp.age_max);
}

// Against a list of frames, whatever the order of appends, trims, reads and partial takes.
TEST(WindowModel, EqualsAListOfFrames) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Log log("e");
    std::deque<std::string> model;  // from first() on
    TimePoint now;
    Offset reader{1};
    std::string expected;
    std::string taken;
    for (int step = 0; step < 400; ++step) {
      if (random.one_in(2)) {
        const std::string body(random.below(700), 'x');
        const Offset offset = log.append(TextEncoder(body), now);
        model.push_back("<" + std::to_string(offset.value) + ":" + body + ">");
      } else if (random.one_in(8) && !model.empty()) {
        log.trim_half();
        model.erase(model.begin(),
                    model.begin() + static_cast<std::ptrdiff_t>((model.size() + 1) / 2));
      }
      const Window& window = log.window();
      ASSERT_EQ(window.size(), model.size());
      ASSERT_EQ(window.head().next().value - window.first().value, model.size());
      if (!window.holds(reader)) {
        reader = window.first();
      }
      const replay::Run run = window.run(reader, 1 + random.below(3000));
      if (reader > window.head()) {
        ASSERT_TRUE(run.bytes.empty());
        continue;
      }
      // The run is whole frames from the reader on.
      std::string frames;
      for (Offset at = reader; at < run.next; at = at.next()) {
        frames += model[at.value - window.first().value];
      }
      ASSERT_EQ(run.bytes, frames);
      const std::size_t part = random.below(run.bytes.size() + 1);
      const Settled settled = window.settle(reader, part);
      // Taken, rest and what follows make up the frames again.
      std::string again(run.bytes.substr(0, part));
      again += settled.remainder;
      std::string whole;
      for (Offset at = reader; at < settled.next; at = at.next()) {
        whole += model[at.value - window.first().value];
      }
      ASSERT_EQ(again, whole);
      reader = settled.next;
    }
  }
}

}  // namespace
}  // namespace trunkline::replay
