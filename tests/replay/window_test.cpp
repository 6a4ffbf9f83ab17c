// SPDX-License-Identifier: Apache-2.0
#include "replay/window.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace trunkline::replay {
namespace {

// Writes frames into segments as a home shard does, and remembers them in the simplest way.
class Writer {
 public:
  explicit Writer(std::size_t segment_bytes) : segment_bytes_(segment_bytes) {}

  void push(const std::string& frame) {
    if (!segment_ || position_ + frame.size() > segment_->end()) {
      position_ = segment_ ? segment_->end() : position_;
      segment_ = std::make_shared<Segment>(position_, std::max(segment_bytes_, frame.size()));
    }
    std::ranges::copy(frame, segment_->at(position_));
    window.push(Record{.begin = position_,
                       .frame_bytes = static_cast<std::uint32_t>(frame.size()),
                       .body_begin = 1,
                       .body_bytes = static_cast<std::uint32_t>(frame.size() - 2),
                       .time = {}},
                segment_);
    position_ += frame.size();
    frames.push_back(frame);
    segments.push_back(segment_.get());
  }

  void trim_before(Offset first) {
    window.trim_before(first);
    first_ = std::max(first_, std::min(first.value, frames.size() + 1));
  }

  // What run() must answer, one frame after another.
  [[nodiscard]] replay::Run run(std::uint64_t next, std::size_t bytes_max) {
    expected_.clear();
    std::uint64_t at = next;
    while (at <= frames.size() && segments[at - 1] == segments[next - 1] &&
           (at == next || expected_.size() + frames[at - 1].size() <= bytes_max)) {
      expected_ += frames[at - 1];
      ++at;
    }
    return replay::Run{expected_, Offset{at}};
  }

  // What settle() must answer, one byte after another.
  [[nodiscard]] Settled settle(std::uint64_t next, std::size_t taken) const {
    std::uint64_t at = next;
    while (taken > 0 && taken >= frames[at - 1].size()) {
      taken -= frames[at - 1].size();
      ++at;
    }
    if (taken == 0) {
      return Settled{Offset{at}, {}};
    }
    return Settled{Offset{at + 1}, std::string_view(frames[at - 1]).substr(taken)};
  }

  [[nodiscard]] std::uint64_t first() const { return first_; }

  Window window;
  std::vector<std::string> frames;  // of the offsets 1, 2, 3, …, also of those that were trimmed
  std::vector<const Segment*> segments;

 private:
  std::size_t segment_bytes_;
  std::uint64_t position_ = 0;
  SegmentRef segment_;
  std::uint64_t first_ = 1;
  std::string expected_;
};

void expect_equal(const Run& got, const Run& expected) {
  ASSERT_EQ(got.bytes, expected.bytes);
  ASSERT_EQ(got.next, expected.next);
}

TEST(Window, IsEmptyBehindItsHead) {
  const Window window(Offset{7});
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(window.head(), Offset{7});
  EXPECT_EQ(window.first(), Offset{8});
  EXPECT_FALSE(window.holds(Offset{7}));
  EXPECT_TRUE(window.holds(Offset{8}));
  EXPECT_EQ(window.frame_bytes(), 0U);
  EXPECT_EQ(window.memory_bytes(), 0U);
}

TEST(Window, RunsEndAtASegmentsBorder) {
  Writer writer(10);
  for (const char* frame : {"<aa>", "<bb>", "<cc>", "<dd>"}) {
    writer.push(frame);
  }
  EXPECT_EQ(writer.window.run(Offset{1}, 100).bytes, "<aa><bb>");
  EXPECT_EQ(writer.window.run(Offset{1}, 100).next, Offset{3});
  EXPECT_EQ(writer.window.run(Offset{3}, 100).bytes, "<cc><dd>");
}

TEST(Window, AFrameThatFillsItsSegmentExactlyIsWhole) {
  Writer writer(4);
  writer.push("<aa>");
  writer.push("<bb>");
  EXPECT_EQ(writer.window.run(Offset{1}, 100).bytes, "<aa>");
  EXPECT_EQ(writer.window.run(Offset{2}, 100).bytes, "<bb>");
}

TEST(Window, ARunHasAtLeastOneFrameHoweverSmallTheLimit) {
  Writer writer(100);
  writer.push("<aaaa>");
  writer.push("<b>");
  for (const std::size_t limit : {0U, 1U, 5U, 6U, 8U}) {
    EXPECT_EQ(writer.window.run(Offset{1}, limit).bytes, "<aaaa>") << limit;
  }
  EXPECT_EQ(writer.window.run(Offset{1}, 9).bytes, "<aaaa><b>");
}

TEST(Window, ARunBehindTheHeadIsEmpty) {
  Writer writer(100);
  writer.push("<a>");
  const auto run = writer.window.run(Offset{2}, 100);
  EXPECT_TRUE(run.bytes.empty());
  EXPECT_EQ(run.next, Offset{2});
}

TEST(Window, ARunThatWasAskedForBeforeSeesWhatWasPushedSince) {
  Writer writer(100);
  writer.push("<a>");
  EXPECT_EQ(writer.window.run(Offset{1}, 100).bytes, "<a>");
  writer.push("<b>");
  EXPECT_EQ(writer.window.run(Offset{1}, 100).bytes, "<a><b>");
}

TEST(Window, SettlesAtEveryByteOfEveryRun) {
  Writer writer(16);
  for (const char* frame :
       {"<1>", "<22>", "<333>", "<>", "<4444>", "<55555555555555555555>", "<6>"}) {
    writer.push(frame);
  }
  for (std::uint64_t next = 1; next <= writer.frames.size(); ++next) {
    for (const std::size_t limit : {1U, 4U, 8U, 1000U}) {
      const auto run = writer.window.run(Offset{next}, limit);
      for (std::size_t taken = 0; taken <= run.bytes.size(); ++taken) {
        SCOPED_TRACE(std::to_string(next) + " limit " + std::to_string(limit) + " taken " +
                     std::to_string(taken));
        const Settled got = writer.window.settle(Offset{next}, taken);
        const Settled expected = writer.settle(next, taken);
        EXPECT_EQ(got.next, expected.next);
        EXPECT_EQ(got.remainder, expected.remainder);
      }
    }
  }
}

TEST(Window, SettlesWhatAnotherReadersRunDidNotPrepare) {
  Writer writer(100);
  writer.push("<aa>");
  writer.push("<bb>");
  const auto run = writer.window.run(Offset{1}, 100);
  static_cast<void>(writer.window.run(Offset{2}, 100));
  EXPECT_EQ(writer.window.settle(Offset{1}, run.bytes.size()).next, Offset{3});
}

TEST(Window, TrimmingDropsSegmentsOnceNothingInThemIsLeft) {
  Writer writer(10);
  for (int i = 0; i < 6; ++i) {
    writer.push("<aaa>");
  }
  const std::size_t all = writer.window.memory_bytes();
  writer.trim_before(Offset{2});
  EXPECT_EQ(writer.window.memory_bytes(), all);
  writer.trim_before(Offset{3});
  EXPECT_EQ(writer.window.memory_bytes(), all - 10);
  writer.trim_before(Offset{7});
  EXPECT_EQ(writer.window.memory_bytes(), 0U);
}

TEST(Window, TrimmingBeyondTheHeadForgetsAllAndKeepsTheHead) {
  Writer writer(10);
  writer.push("<a>");
  writer.window.trim_before(Offset{1000});
  EXPECT_TRUE(writer.window.empty());
  EXPECT_EQ(writer.window.head(), Offset{1});
}

TEST(Window, TrimmingBackwardsDoesNothing) {
  Writer writer(10);
  writer.push("<a>");
  writer.push("<b>");
  writer.trim_before(Offset{2});
  writer.window.trim_before(Offset{1});
  EXPECT_EQ(writer.window.first(), Offset{2});
}

TEST(WindowDeathTest, ReadingATrimmedOffsetIsABug) {
  Writer writer(10);
  writer.push("<a>");
  writer.push("<b>");
  writer.trim_before(Offset{2});
  EXPECT_DEATH(static_cast<void>(writer.window.frame(Offset{1})), "first_");
}

TEST(WindowModel, EqualsAListOfFramesUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Writer writer(1 + random.below(120));
    for (int step = 0; step < 300; ++step) {
      const Window& window = writer.window;
      const std::uint64_t head = writer.frames.size();
      ASSERT_EQ(window.head().value, head);
      ASSERT_EQ(window.first().value, writer.first());
      if (random.one_in(3)) {
        writer.push("<" + random.text(random.below(40)) + ">");
      } else if (random.one_in(10)) {
        writer.trim_before(Offset{writer.first() + random.below(head + 4 - writer.first())});
      } else if (!window.empty()) {
        const std::uint64_t next = writer.first() + random.below(head + 1 - writer.first());
        ASSERT_EQ(window.frame(Offset{next}), writer.frames[next - 1]);
        ASSERT_EQ(window.body(Offset{next}),
                  writer.frames[next - 1].substr(1, writer.frames[next - 1].size() - 2));
        const std::size_t limit = random.below(150);
        const auto run = window.run(Offset{next}, limit);
        expect_equal(run, writer.run(next, limit));
        const std::size_t taken = random.below(run.bytes.size() + 1);
        const Settled got = window.settle(Offset{next}, taken);
        const Settled expected = writer.settle(next, taken);
        ASSERT_EQ(got.next, expected.next);
        ASSERT_EQ(got.remainder, expected.remainder);
      }
    }
  }
}

}  // namespace
}  // namespace trunkline::replay
