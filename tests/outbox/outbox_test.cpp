// SPDX-License-Identifier: Apache-2.0
#include "outbox/outbox.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace trunkline::outbox {
namespace {

// Frames of a shared log: "<n>" each, handed out as one run.
class Cursor : public Source {
 public:
  explicit Cursor(std::vector<std::string> frames) : frames_(std::move(frames)) {}

  std::string_view peek(std::size_t bytes_max) override {
    run_.clear();
    for (std::size_t i = next_; i < frames_.size(); ++i) {
      if (!run_.empty() && run_.size() + frames_[i].size() > bytes_max) {
        break;
      }
      run_ += frames_[i];
    }
    return run_;
  }

  Taken taken(std::size_t bytes) override {
    while (bytes > 0) {
      const std::string& frame = frames_[next_++];
      if (bytes < frame.size()) {
        return {std::string_view(frame).substr(bytes), next_ < frames_.size()};
      }
      bytes -= frame.size();
    }
    return {{}, next_ < frames_.size()};
  }

  [[nodiscard]] std::size_t next() const { return next_; }

 private:
  std::vector<std::string> frames_;
  std::string run_;
  std::size_t next_ = 0;
};

class OutboxTest : public ::testing::Test {
 protected:
  // The socket takes up to `bytes` of one flush.
  void flush(std::size_t bytes) {
    outbox.gather(plan);
    std::string all;
    for (const std::string_view span : plan.spans()) {
      all += span;
    }
    const std::size_t taken = std::min(bytes, all.size());
    wire += all.substr(0, taken);
    outbox.written(plan, taken, now);
  }

  void flush_all() {
    for (int i = 0; i < 1000 && !outbox.idle(); ++i) {
      flush(1 << 20);
    }
  }

  OutboxOptions options;
  Outbox outbox{options};
  Plan plan;
  std::string wire;
  TimePoint now;
};

TEST_F(OutboxTest, KeepsTheOrderOfReplies) {
  EXPECT_EQ(outbox.push("one."), Verdict::kAccepted);
  EXPECT_EQ(outbox.push("two."), Verdict::kAccepted);
  flush_all();
  EXPECT_EQ(wire, "one.two.");
  EXPECT_TRUE(outbox.idle());
}

TEST_F(OutboxTest, ControlFrameOvertakesQueuedDataAtTheNextFrameBoundary) {
  Cursor cursor({"aaaa", "bbbb", "cccc"});
  outbox.add_source(cursor);
  flush(6);
  EXPECT_EQ(outbox.push("reply"), Verdict::kAccepted);
  EXPECT_EQ(outbox.push_control("PING"), Verdict::kAccepted);
  flush_all();
  EXPECT_EQ(wire, "aaaabbbbPINGreplycccc");
}

TEST_F(OutboxTest, HoldsOnlyTheRestOfOneFrameOfASource) {
  Cursor cursor({std::string(100, 'a'), std::string(100, 'b'), std::string(100, 'c')});
  outbox.add_source(cursor);
  flush(150);
  EXPECT_EQ(outbox.pending_bytes(), 50U);
  EXPECT_EQ(cursor.next(), 2U);
}

TEST_F(OutboxTest, SourcesTakeTurns) {
  Cursor first({std::string(200'000, 'a'), std::string(200'000, 'b')});
  Cursor second({"x"});
  outbox.add_source(first);
  outbox.add_source(second);
  flush_all();
  EXPECT_EQ(wire.find('x'), 200'000U);
}

TEST_F(OutboxTest, RefusesWhatGoesBeyondTheHighWaterMarkAndCountsIt) {
  options.high_water_bytes = 10;
  EXPECT_EQ(outbox.push("12345678"), Verdict::kAccepted);
  EXPECT_EQ(outbox.push("123"), Verdict::kFull);
  EXPECT_EQ(outbox.stats().refused, 1U);
  flush_all();
  EXPECT_EQ(outbox.push("123"), Verdict::kAccepted);
}

TEST_F(OutboxTest, CountsEachTimeThatTheHighWaterMarkIsReached) {
  options.high_water_bytes = 10;
  outbox.push_reply("12345678");
  EXPECT_EQ(outbox.stats().high_water, 0U);
  outbox.push_reply("12345678");
  outbox.push_reply("12345678");
  EXPECT_EQ(outbox.stats().high_water, 1U) << "it stays above";
  flush_all();
  outbox.push_reply("1234567890");
  EXPECT_EQ(outbox.take_stats().high_water, 2U);
  EXPECT_EQ(outbox.stats().high_water, 0U);
}

TEST_F(OutboxTest, TakesOneLargeReplyWhenNothingWaits) {
  options.high_water_bytes = 10;
  EXPECT_EQ(outbox.push(std::string(1000, 'x')), Verdict::kAccepted);
  EXPECT_TRUE(outbox.above_high_water());
}

TEST_F(OutboxTest, CloseFrameGoesBehindQueuedDataAndSources) {
  Cursor cursor({"pub1", "pub2"});
  EXPECT_EQ(outbox.push("reply"), Verdict::kAccepted);
  outbox.add_source(cursor);
  outbox.close("CLOSE");
  EXPECT_EQ(outbox.push("late"), Verdict::kClosed);
  flush(7);
  EXPECT_FALSE(outbox.close_written());
  flush_all();
  EXPECT_EQ(wire, "replypub1pub2CLOSE");
  EXPECT_TRUE(outbox.close_written());
}

TEST_F(OutboxTest, WriteDeadlineRunsFromTheOldestUnsentByte) {
  EXPECT_EQ(outbox.push(std::string(100, 'x')), Verdict::kAccepted);
  flush(10);
  const TimePoint stuck = now;
  ASSERT_EQ(outbox.write_deadline(), stuck + options.write_deadline);
  now += std::chrono::seconds(5);
  flush(10);  // a trickle does not buy time
  EXPECT_EQ(outbox.write_deadline(), stuck + options.write_deadline);
  flush_all();
  EXPECT_EQ(outbox.write_deadline(), std::nullopt);
}

TEST_F(OutboxTest, WriteDeadlineMovesWhenTheOldBytesAreOut) {
  Cursor cursor({std::string(100, 'a'), std::string(100, 'b'), std::string(100, 'c')});
  outbox.add_source(cursor);
  flush(50);
  now += std::chrono::seconds(5);
  flush(100);  // the first frame is out, half of the second waits
  EXPECT_EQ(outbox.write_deadline(), now + options.write_deadline);
}

TEST_F(OutboxTest, AnyPatternOfPartialWritesGivesTheSameBytes) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    Outbox box(options);
    Cursor a({"<a1>", "<a2>", "<a3>"});
    Cursor b({"<b1>", "<b2>"});
    std::string out;
    const auto write = [&] {
      box.gather(plan);
      std::string all;
      for (const std::string_view span : plan.spans()) {
        all += span;
      }
      const std::size_t taken = random.below(all.size() + 1);
      out += all.substr(0, taken);
      box.written(plan, taken, now);
    };
    box.add_source(a);
    write();
    ASSERT_EQ(box.push("<r1>"), Verdict::kAccepted);
    box.add_source(b);
    write();
    ASSERT_EQ(box.push_control("<p>"), Verdict::kAccepted);
    ASSERT_EQ(box.push("<r2>"), Verdict::kAccepted);
    while (!box.idle()) {
      write();
    }
    // Whole frames only, each once, each kind in its order.
    std::string of_a;
    std::string of_r;
    ASSERT_EQ(out.size(), 31U) << out;
    for (std::size_t i = 0; i < out.size(); i = out.find('>', i) + 1) {
      ASSERT_EQ(out[i], '<') << "seed " << seed << ": " << out;
      (out[i + 1] == 'a' ? of_a : out[i + 1] == 'r' ? of_r : wire) += out[i + 2];
    }
    EXPECT_EQ(of_a, "123") << "seed " << seed;
    EXPECT_EQ(of_r, "12") << "seed " << seed;
  }
}

}  // namespace
}  // namespace trunkline::outbox
