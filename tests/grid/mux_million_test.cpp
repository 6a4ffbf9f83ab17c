// SPDX-License-Identifier: Apache-2.0
//
// The end of a stream never overtakes its last message, over a million streams: cut into frames
// anywhere, with windows that most of them exceed.
#include "core/random.h"
#include "grid/mux.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::grid {
namespace {

constexpr std::uint64_t kStreams = 1'000'000;
constexpr std::uint64_t kAtOnce = 500;

unsigned messages_of(std::uint64_t token) {
  return static_cast<unsigned>(token % 5);
}

// Opens streams and counts what comes; the other side sends and returns at once.
class Counter final : public MuxEvents, public MuxOwner {
 public:
  void on_call(Mux& mux, CallRef call, const PeerCall&, Arrived payload) override {
    const std::uint64_t token = std::stoull(std::string(payload.bytes()));
    for (unsigned number = 0; number < messages_of(token); ++number) {
      const std::string message(number * (token % 97), static_cast<char>('a' + number));
      ASSERT_EQ(mux.send(call, message), SendVerdict::kAccepted);
    }
    mux.finish(call);
  }

  void on_message(Mux& mux, CallRef call, std::uint64_t token, Arrived payload) override {
    unsigned& number = came[token % came.size()];
    wrong += payload.bytes().size() == number * (token % 97) ? 0U : 1U;
    ++number;
    mux.consumed(call, payload.bytes().size(), {});
  }

  void on_end(Mux& mux, CallRef call, std::uint64_t token) override {
    unsigned& number = came[token % came.size()];
    wrong += number == messages_of(token) ? 0U : 1U;
    number = 0;
    ++ended;
    mux.forget(call);
  }

  void on_failure(Mux&, std::uint64_t, const Failure&) override { ++wrong; }

  void on_result(Mux&, std::uint64_t, Arrived) override { ++wrong; }

  void on_stop(Mux&, CallRef, std::uint64_t, const Failure&) override { ++wrong; }

  void on_room(Mux&, CallRef, std::uint64_t) override {}

  void on_dead(Mux&, const Error&) override { ++wrong; }

  void on_output(Mux&) override {}

  std::vector<unsigned> came = std::vector<unsigned>(2 * kAtOnce);
  std::uint64_t ended = 0;
  std::uint64_t wrong = 0;
};

TEST(MillionStreams, EachHasAllOfItsMessagesBeforeItsEnd) {
  MuxOptions options;
  options.limits.stream_window = 1024;
  options.limits.connection_window = 65'536;
  Agreement agreement;
  agreement.peer_limits = options.limits;
  MemoryPool pool(64U << 20U);
  TimerWheel wheel{TimePoint{}};
  Counter caller;
  Counter callee;
  Mux one(options, agreement, Side::kDialler, pool, wheel, caller, caller, TimePoint{});
  Mux other(options, agreement, Side::kAcceptor, pool, wheel, callee, callee, TimePoint{});
  Random random(7);
  std::uint64_t begun = 0;
  std::string frame;
  while (caller.ended < kStreams && caller.wrong == 0) {
    while (begun < kStreams && begun - caller.ended < kAtOnce) {
      ASSERT_TRUE(one.begin({.kind = CallKind::kStream,
                             .handler = "x",
                             .payload = std::to_string(begun),
                             .token = begun},
                            TimePoint{})
                      .has_value());
      ++begun;
    }
    for (const auto& [from, to] : {std::pair(&one, &other), std::pair(&other, &one)}) {
      frame.clear();
      from->gather(frame, 4096 + random.below(60'000), TimePoint{});
      const Result<void> taken = to->on_frame(frame, TimePoint{});
      ASSERT_TRUE(taken.has_value()) << taken.error().context;
    }
  }
  EXPECT_EQ(caller.wrong + callee.wrong, 0U);
  EXPECT_EQ(caller.ended, kStreams);
  EXPECT_TRUE(one.is_idle());
  EXPECT_TRUE(other.is_idle());
  EXPECT_EQ(pool.used(), 0U);
}

}  // namespace
}  // namespace trunkline::grid
