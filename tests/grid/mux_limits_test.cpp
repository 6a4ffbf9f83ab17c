// SPDX-License-Identifier: Apache-2.0
//
// What a peer cannot make this side do: hold more, run more, or believe what only this side knows.
#include "grid/mux_fixture.h"

namespace trunkline::grid {
namespace {

class MuxLimits : public MuxTest {};

TEST_F(MuxLimits, ResponsesThatNobodyTakesAreNotHeldWithoutBound) {
  MuxOptions tight = small();
  tight.unsent_bytes_max = 100'000;
  make(small(), tight);
  for (int i = 0; i < 4; ++i) {
    a->call("x", "");
  }
  pump();
  for (const CallRef call : b->called) {
    b->mux->respond(call, std::string(60'000, 'r'));
  }
  EXPECT_LE(b->mux->stats().unsent_bytes, tight.unsent_bytes_max);
  pump();
  EXPECT_EQ(a->events(), (Lines{"failure 2 memory", "failure 3 memory", "failure 4 memory",
                                "result 1 [60000 bytes]"}));
  EXPECT_FALSE(a->last_failure.not_run);
}

TEST_F(MuxLimits, NothingNewIsBegunForAPeerThatDoesNotTakeWhatItGot) {
  MuxOptions tight = small();
  tight.unsent_bytes_max = 100'000;
  make(small(), tight);
  a->call("x", "");
  pump();
  b->mux->respond(b->called[0], std::string(200'000, 'r'));  // one alone may be larger
  a->call("y", "");
  deliver(*b, a->frame());
  EXPECT_EQ(b->events(), Lines{"call x "});
  pump();
  EXPECT_EQ(a->events(), (Lines{"failure 2 busy not run", "result 1 [200000 bytes]"}));
}

TEST_F(MuxLimits, HandlersOfALostConnectionCountOnTheNext) {
  MuxOptions few = small();
  few.handlers_max = 2;
  make(small(), few);
  const auto handlers = std::make_shared<std::size_t>(0);
  Agreement agreement;
  agreement.peer = "peer";
  const auto connect = [&] {
    return std::make_unique<Mux>(b->options, agreement, Side::kAcceptor, b->pool, b->wheel, *b, *b,
                                 now, handlers);
  };
  const auto ask = [&](Mux& mux) {
    std::string frame;
    append_message(
        frame,
        {.type = MessageType::kRequest, .has_name = true, .number = 1, .id = 1, .name = "x"});
    append_message(frame, {.type = MessageType::kRequest, .number = 1, .id = 3});
    EXPECT_TRUE(mux.on_frame(frame, now).has_value());
  };
  const std::unique_ptr<Mux> first = connect();
  ask(*first);
  EXPECT_EQ(*handlers, 2U);
  first->lose("cut", now);
  const std::unique_ptr<Mux> second = connect();
  b->events();
  const std::vector<CallRef> running = std::exchange(b->called, {});
  ask(*second);
  EXPECT_EQ(b->events(), Lines{});  // busy
  first->respond(running[0], "late");
  first->respond(running[1], "late");
  EXPECT_EQ(*handlers, 0U);
}

TEST_F(MuxLimits, APeerCannotSayWhatOnlyThisSideKnows) {
  const CallRef call = a->call("x", "");
  pump();
  std::string frame;
  append_message(frame, {.type = MessageType::kFailure,
                         .not_run = true,
                         .number = static_cast<std::uint16_t>(FailureCode::kDisconnected),
                         .id = 1});
  EXPECT_TRUE(a->mux->on_frame(frame, now).has_value());
  EXPECT_TRUE(static_cast<bool>(call));
  EXPECT_EQ(a->events(), Lines{"failure 1 handler not run"});
  EXPECT_EQ(origin(a->last_failure), Origin::kHandler);
}

TEST_F(MuxLimits, WhoseDoingAFailureIsFollowsFromWhoSaidIt) {
  MuxOptions none = small();
  none.handlers_max = 1;
  make(small(), none);
  a->call("x", "");
  a->call("x", "");
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 2 busy not run"});
  EXPECT_EQ(origin(a->last_failure), Origin::kRemote);
  a->mux->drain(Drain::kEnding);
  const auto refused = a->mux->begin({.handler = "x"}, now);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, FailureCode::kDraining);
  EXPECT_EQ(origin(refused.error()), Origin::kCaller);
  pump();
  const auto refused_there = b->mux->begin({.handler = "x"}, now);
  ASSERT_FALSE(refused_there.has_value());
  EXPECT_EQ(origin(refused_there.error()), Origin::kRemote);
}

TEST_F(MuxLimits, AGoawayWaitsForTheCallsThatWereMadeBeforeIt) {
  b->echo = true;
  for (int i = 0; i < 200; ++i) {
    a->call("x", std::string(1000, 'c'));  // three times what the connection takes at once
  }
  a->mux->drain(Drain::kEnding);
  while (step()) {
    if (b->mux->peer_drains() && !b->mux->is_draining()) {
      EXPECT_EQ(b->events().size(), 200U);
      b->mux->drain(Drain::kMoved);
    }
  }
  EXPECT_EQ(a->events().size(), 200U);
  EXPECT_TRUE(a->mux->is_drained());
  EXPECT_TRUE(b->mux->is_drained());
}

// Whose program has taken something at the very moment at which it was blocked has not read on
// either.
TEST_F(MuxLimits, AStreamWhoseEndsBothSendAndNeverReadOnFails) {
  MuxOptions options = small();
  options.stream_stall = 5s;
  options.ping_interval = 1s;
  make(options, options);
  a->reads = b->reads = false;
  const CallRef ours = a->open("talk");
  pump();
  const CallRef theirs = b->called.at(0);
  const auto fill = [](End& end, CallRef stream) {
    while (end.mux->has_room(stream, 500)) {
      end.put(stream, std::string(500, 'x'));
    }
  };
  for (int round = 0; round < 20; ++round) {
    fill(*a, ours);
    fill(*b, theirs);
    pump();
  }
  for (End* end : {a.get(), b.get()}) {
    ASSERT_FALSE(end->unread.empty());
    end->mux->consumed(end->unread.front().first, end->unread.front().second, now);
  }
  pump();
  for (int second = 0; second < 10; ++second) {
    pass(1s);
    pump();
  }
  EXPECT_EQ(a->last_failure.code, FailureCode::kMemory);
}

TEST_F(MuxLimits, APartOfAMessageIsASignOfLife) {
  for (int i = 0; i < 60; ++i) {
    pass(1s);
    a->mux->heard(now);
    a->frame();  // its pings go nowhere
  }
  EXPECT_EQ(a->events(), Lines{});
}

}  // namespace
}  // namespace trunkline::grid
