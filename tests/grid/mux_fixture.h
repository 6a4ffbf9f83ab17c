// SPDX-License-Identifier: Apache-2.0
//
// Two ends of a connection on virtual time, what happens at each as lines of text, and a vocabulary
// for tests. What one end sends reaches the other when the test says so.
#pragma once

#include "grid/mux.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::grid {

using namespace std::chrono_literals;

// One end. Its handlers do nothing by themselves unless `echo` is set.
class End final : public MuxEvents, public MuxOwner {
 public:
  End(Side side, MuxOptions with, std::size_t pool_bytes, TimePoint& now, PeerLimits peers)
      : options(with), pool(pool_bytes), wheel(now), now_(now), side_(side), peers_(peers) {
    make();
  }

  // A connection anew.
  void make() {
    Agreement agreement;
    agreement.peer = "peer";
    agreement.checksum = checksum;
    agreement.peer_limits = peers_;
    mux = std::make_unique<Mux>(options, agreement, side_, pool, wheel, *this, *this, now_);
  }

  CallRef call(std::string_view handler, std::string payload, Duration timeout = Duration::zero(),
               Priority priority = Priority::kBySize) {
    return begin(CallKind::kRequest, handler, std::move(payload), timeout, priority);
  }

  CallRef open(std::string_view handler, std::string payload = {},
               Duration timeout = Duration::zero()) {
    return begin(CallKind::kStream, handler, std::move(payload), timeout, Priority::kBySize);
  }

  CallRef begin(CallKind kind, std::string_view handler, std::string payload, Duration timeout,
                Priority priority) {
    const auto begun =
        mux->begin({.kind = kind,
                    .handler = handler,
                    .payload = std::move(payload),
                    .deadline = timeout == Duration::zero() ? TimePoint::max() : now_ + timeout,
                    .priority = priority,
                    .token = ++last_token},
                   now_);
    if (!begun.has_value()) {
      say(fmt::format("refused {}{}", name(begun.error().code),
                      begun.error().not_run ? " not run" : ""));
      return {};
    }
    return *begun;
  }

  // Sends on a stream that has room.
  void put(CallRef stream, std::string message) {
    EXPECT_NE(mux->send(stream, std::move(message)), SendVerdict::kFull);
  }

  // Takes the lines.
  std::vector<std::string> events() { return std::exchange(lines, {}); }

  std::string frame(std::size_t bytes_max = 64 * 1024) {
    std::string out;
    mux->gather(out, bytes_max, now_);
    return out;
  }

  void on_call(Mux& of, CallRef ref, const PeerCall& what, Arrived payload) override {
    say(fmt::format("{} {} {}", what.kind == CallKind::kStream ? "open" : "call", what.handler,
                    text(payload.bytes())));
    called.push_back(ref);
    of.set_token(ref, ++last_token);
    if (echo && what.kind == CallKind::kRequest) {
      of.respond(ref, payload.take());
    }
  }

  void on_result(Mux&, std::uint64_t token, Arrived payload) override {
    say(fmt::format("result {} {}", token, text(payload.bytes())));
  }

  void on_failure(Mux&, std::uint64_t token, const Failure& failure) override {
    say(fmt::format("failure {} {}{}", token, name(failure.code),
                    failure.not_run ? " not run" : ""));
    last_failure = failure;
  }

  void on_message(Mux& of, CallRef ref, std::uint64_t token, Arrived payload) override {
    say(fmt::format("message {} {}", token, text(payload.bytes())));
    received += payload.bytes().size();
    ++messages;
    if (reads) {
      of.consumed(ref, payload.bytes().size(), now_);
    } else {
      unread.emplace_back(ref, payload.bytes().size());
    }
  }

  void on_end(Mux&, CallRef ref, std::uint64_t token) override {
    say(fmt::format("end {}", token));
    ended.push_back(ref);
  }

  void on_stop(Mux&, CallRef, std::uint64_t token, const Failure& why) override {
    say(fmt::format("stop {} {}", token, name(why.code)));
  }

  void on_room(Mux&, CallRef ref, std::uint64_t token) override {
    say(fmt::format("room {}", token));
    has_room.push_back(ref);
  }

  void on_dead(Mux& of, const Error& why) override {
    say(fmt::format("dead {}", why.context));
    of.lose(why.context, now_);
  }

  void on_output(Mux&) override {}

  // Reads everything that waits.
  void read_all() {
    for (const auto& [ref, bytes] : std::exchange(unread, {})) {
      mux->consumed(ref, bytes, now_);
    }
  }

  static std::string text(std::string_view payload) {
    return payload.size() <= 40 ? std::string(payload) : fmt::format("[{} bytes]", payload.size());
  }

  void say(std::string line) {
    if (quiet == 0) {
      lines.push_back(std::move(line));
    }
  }

  MuxOptions options;
  MemoryPool pool;
  TimerWheel wheel;
  std::unique_ptr<Mux> mux;
  std::vector<std::string> lines;
  std::vector<CallRef> called;
  std::vector<CallRef> ended;
  std::vector<CallRef> has_room;
  std::vector<std::pair<CallRef, std::size_t>> unread;
  Failure last_failure;
  std::uint64_t last_token = 0;
  std::uint64_t received = 0;
  std::uint64_t messages = 0;
  bool echo = false;
  bool reads = true;
  bool checksum = false;
  int quiet = 0;

 private:
  TimePoint& now_;
  const Side side_;
  const PeerLimits peers_;
};

class MuxTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kPool = 1U << 20U;

  static MuxOptions small() {
    MuxOptions options;
    options.limits.stream_window = 1024;
    options.limits.connection_window = 65'536;
    options.limits.message_bytes_max = 400'000;
    options.stream_window_max = 4096;
    options.chunk_bytes = 1000;
    options.stream_unsent_bytes = 2000;
    options.stream_rescue_max = 8192;
    return options;
  }

  void make(const MuxOptions& one, const MuxOptions& other, std::size_t pool = kPool) {
    a = std::make_unique<End>(Side::kDialler, one, pool, now, other.limits);
    b = std::make_unique<End>(Side::kAcceptor, other, pool, now, one.limits);
  }

  void SetUp() override { make(small(), small()); }

  // One frame each way. False when nothing was said.
  bool step() {
    const std::string to_b = a->frame();
    const std::string to_a = b->frame();
    deliver(*b, to_b);
    deliver(*a, to_a);
    return !to_b.empty() || !to_a.empty();
  }

  void deliver(End& to, const std::string& frame) {
    if (!frame.empty() && !to.mux->is_lost()) {
      const Result<void> taken = to.mux->on_frame(frame, now);
      EXPECT_TRUE(taken.has_value()) << taken.error().context;
    }
    EXPECT_EQ(a->mux->check(), "");
    EXPECT_EQ(b->mux->check(), "");
  }

  // Until nothing more is said.
  void pump() {
    int frames = 0;
    while (step()) {
      ASSERT_LT(++frames, 200'000);
    }
  }

  void pass(Duration duration) {
    const TimePoint end = now + duration;
    while (now < end) {
      now = std::min(end, now + 5ms);
      a->wheel.advance(now);
      b->wheel.advance(now);
    }
  }

  // What the wire is told by hand, to `to`.
  std::string why_refused(End& to, const Message& message) {
    std::string frame;
    append_message(frame, message);
    const Result<void> taken = to.mux->on_frame(frame, now);
    return taken.has_value() ? "" : taken.error().context;
  }

  void expect_nothing_left() {
    EXPECT_TRUE(a->mux->is_idle());
    EXPECT_TRUE(b->mux->is_idle());
    EXPECT_EQ(a->pool.used(), 0U);
    EXPECT_EQ(b->pool.used(), 0U);
  }

  using Lines = std::vector<std::string>;

  TimePoint now{1s};
  std::unique_ptr<End> a;  // the dialler
  std::unique_ptr<End> b;
};

}  // namespace trunkline::grid
