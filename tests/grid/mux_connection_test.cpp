// SPDX-License-Identifier: Apache-2.0
//
// The connection: liveness, fairness, drain, and every rule that a peer may break.
#include "grid/mux_fixture.h"

namespace trunkline::grid {
namespace {

class Connection : public MuxTest {};

TEST_F(Connection, PingsFlowAndMeasureTheRoundTrip) {
  pass(11s);
  const std::string ping = a->frame();
  deliver(*b, ping);
  now += 3ms;
  deliver(*a, b->frame());
  EXPECT_EQ(a->mux->stats().round_trip, 3ms);
}

TEST_F(Connection, APeerThatIsSilentForTwoIntervalsIsGone) {
  a->call("x", "");
  pump();
  pass(19s);
  a->frame();  // nobody hears it
  EXPECT_EQ(a->events(), Lines{});
  pass(2s);
  EXPECT_EQ(a->events(),
            (Lines{"dead the peer has said nothing for 20630 ms", "failure 1 disconnected"}));
}

TEST_F(Connection, APeerThatAnswersPingsStays) {
  for (int i = 0; i < 100; ++i) {
    pass(1s);
    pump();
  }
  EXPECT_EQ(a->events(), Lines{});
  EXPECT_EQ(b->events(), Lines{});
}

TEST_F(Connection, PingsAndCreditsFlowWhileEveryHandlerIsBlocked) {
  MuxOptions few = small();
  few.handlers_max = 8;
  make(small(), few);
  b->reads = false;
  for (int i = 0; i < 4; ++i) {
    a->call("x", "");
    const CallRef stream = a->open("y");
    while (a->mux->send(stream, std::string(200, 'x')) == SendVerdict::kAccepted) {
    }
  }
  for (int i = 0; i < 60; ++i) {
    pass(1s);
    pump();
  }
  EXPECT_EQ(a->mux->is_lost() || b->mux->is_lost(), false);
  EXPECT_GT(a->mux->stats().messages_received, 5U);
  // And credits of the connection: a large request is refused for its handler, and all of it came.
  a->call("x", std::string(200'000, 'x'));
  pump();
  EXPECT_EQ(a->mux->stats().unsent_bytes > 200'000, false);
}

TEST_F(Connection, AWriteDeadlineCountsFromTheLastProgress) {
  a->call("x", std::string(100'000, 'x'));
  a->mux->socket_blocked(now);
  for (int i = 0; i < 30; ++i) {  // slow is not dead
    pass(5s);
    a->mux->socket_progressed(now);
    deliver(*a, b->frame());
    std::string pong;
    append_message(pong, {.type = MessageType::kPong});
    deliver(*a, pong);
  }
  EXPECT_EQ(a->events(), Lines{});
  pass(9s);
  EXPECT_EQ(a->events(), Lines{});
  pass(2s);
  EXPECT_EQ(a->events().front(), "dead the peer has taken no byte for 10000 ms");
}

// What came meanwhile waits in the socket, and the timers are looked at first.
TEST_F(Connection, WhoHasStoodStillItselfDoesNotBlameThePeer) {
  pass(9s);
  pump();
  a->call("x", std::string(100'000, 'x'));
  a->mux->socket_blocked(now);
  now += 100s;
  a->wheel.advance(now);
  b->wheel.advance(now);
  // As long as the peer always has.
  pass(9s);
  EXPECT_EQ(a->events(), Lines{});
  a->mux->socket_progressed(now);
  deliver(*a, b->frame());
  pass(9s);
  EXPECT_EQ(a->events(), Lines{});
  pass(2s);
  EXPECT_EQ(a->events().front(), "dead the peer has taken no byte for 10000 ms");
}

// A little too late for the timer to say so: enough to look at the socket.
TEST_F(Connection, BeforeAPeerIsGivenUpItsSocketIsLookedAtOnceMore) {
  pass(9s);
  pump();
  pass(10s);
  a->call("x", std::string(100'000, 'x'));
  a->mux->socket_blocked(now);
  now += 10'100ms;
  a->wheel.advance(now);
  EXPECT_EQ(a->events(), Lines{});
  a->mux->socket_progressed(now);
  deliver(*a, b->frame());
  pass(9s);
  EXPECT_EQ(a->events(), Lines{});
}

TEST_F(Connection, ASocketThatTakesEverythingIsNotTimed) {
  a->mux->socket_blocked(now);
  pass(5s);
  a->mux->socket_idle();
  pass(6s);
  EXPECT_EQ(a->events(), Lines{});
}

TEST_F(Connection, ASmallCallWaitsForAtMostAFewPiecesOfLargeOnes) {
  MuxOptions wide;
  make(wide, wide, 512U << 20U);
  b->echo = true;
  for (int i = 0; i < 4; ++i) {
    a->call("bulk", std::string(8U << 20U, 'x'));
  }
  deliver(*b, a->frame());  // they are under way
  a->call("small", "now");
  std::size_t bytes = 0;
  while (b->events() != Lines{"call small now"}) {
    const std::string frame = a->frame(16 * 1024);
    bytes += frame.size();
    deliver(*b, frame);
    ASSERT_LT(bytes, 200'000U);
  }
  EXPECT_LE(bytes, 3U * 16 * 1024);
}

TEST_F(Connection, ClassesShareTheWireAndNoneStarves) {
  MuxOptions wide;
  wide.limits.connection_window = 64U << 20U;
  make(wide, wide, 512U << 20U);
  for (int i = 0; i < 3000; ++i) {
    a->call("small", std::string(8000, 's'));
  }
  const CallRef stream = a->open("stream");
  a->call("bulk", std::string(8U << 20U, 'b'));
  std::size_t sent = 0;
  while (sent < (4U << 20U)) {
    while (a->mux->send(stream, std::string(8000, 't')) == SendVerdict::kAccepted) {
    }
    const std::string frame = a->frame();
    sent += frame.size();
    deliver(*b, frame);
    deliver(*a, b->frame());
  }
  const std::size_t streamed = b->received;
  const std::size_t bulk =
      (8U << 20U) + 24'000'000 + b->received + (256U << 10U) - a->mux->stats().unsent_bytes - sent;
  EXPECT_GT(streamed, sent / 5);  // 2 of 7 parts
  EXPECT_GT(bulk, 0U);
  EXPECT_GT(b->called.size(), 200U);
}

TEST_F(Connection, DrainLetsWhatIsOpenFinishAndRefusesWhatIsNew) {
  a->call("x", "1");
  const CallRef stream = a->open("y");
  pump();
  b->mux->drain(Drain::kEnding);
  a->call("x", "crossing");
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 3 draining not run"});
  EXPECT_FALSE(a->call("x", "2"));
  EXPECT_EQ(a->events(), Lines{"refused draining not run"});
  EXPECT_FALSE(a->mux->takes_calls());
  a->mux->drain(Drain::kEnding);
  pump();
  EXPECT_FALSE(a->mux->is_drained());
  b->mux->respond(b->called[0], "done");
  b->mux->finish(b->called[1]);
  pump();
  EXPECT_EQ(a->events(), (Lines{"result 1 done", "end 2"}));
  a->mux->forget(stream);
  EXPECT_TRUE(a->mux->is_drained());
  EXPECT_TRUE(b->mux->is_drained());
  expect_nothing_left();
}

TEST_F(Connection, CallsThatCrossAMoveAreServed) {
  a->call("x", "crossing");
  b->mux->drain(Drain::kMoved);
  pump();
  EXPECT_EQ(b->events(), Lines{"call x crossing"});
  EXPECT_FALSE(a->call("x", "2"));
}

TEST_F(Connection, WhatAPeerMayNotSayEndsTheConnectionWithTheRule) {
  struct Case {
    Message message;
    const char* why;
  };

  const Case cases[] = {
      {{.type = MessageType::kRequest, .has_name = true, .id = 2, .name = "x"}, "is begun"},
      {{.type = MessageType::kRequest, .number = 5, .id = 101}, "before it has a name"},
      {{.type = MessageType::kRequest, .has_name = true, .number = 1, .id = 101, .name = "x"},
       "a name twice"},
      {{.type = MessageType::kRequest, .number = 2000, .id = 101}, "handler number"},
      {{.type = MessageType::kRequest, .id = 101}, "no handler"},
      {{.type = MessageType::kRequest, .number = 1, .id = 1}, "is begun after"},
      {{.type = MessageType::kResponse, .id = 2}, "never was"},
      {{.type = MessageType::kResponse, .id = 1}, "no request of this side"},
      {{.type = MessageType::kData, .id = 1}, "no stream"},
      {{.type = MessageType::kData, .id = 99}, "never was"},
      {{.type = MessageType::kChunk, .id = 3, .payload = "x"}, "a chunk"},
      {{.type = MessageType::kEnd, .id = 1}, "no stream"},
      {{.type = MessageType::kEnd, .id = 3, .value = 5}, "ends after 5 bytes, 0 have come"},
      {{.type = MessageType::kFailure, .id = 1}, "the peer itself"},
      {{.type = MessageType::kCancel, .id = 2}, "never was"},
      {{.type = MessageType::kCancel, .id = 3, .value = 9}, "cancelled after 9 bytes"},
      {{.type = MessageType::kCredit, .id = 1, .value = 9}, "no stream"},
      {{.type = MessageType::kPong, .value = 9}, "pong 9 for 0 pings"},
  };
  for (const Case& wrong : cases) {
    SetUp();
    a->call("x", "");
    a->open("x");
    deliver(*b, a->frame());
    EXPECT_NE(why_refused(*b, wrong.message).find(wrong.why), std::string::npos)
        << wrong.why << ": " << why_refused(*b, wrong.message);
  }
}

TEST_F(Connection, AWindowThatIsOverrunIsAnError) {
  a->open("x");
  deliver(*b, a->frame());
  const std::string much(1000, 'x');
  EXPECT_NE(why_refused(*b, {.type = MessageType::kData, .id = 1, .payload = much}).find("granted"),
            std::string::npos);
  EXPECT_EQ(b->mux->check(), "");
}

TEST_F(Connection, TheConnectionsWindowIsReturnedOnReceiptAndHeldTo) {
  b->reads = false;
  a->call("x", "");
  deliver(*b, a->frame());
  const std::string much(60'000, 'x');
  std::uint64_t id = 3;
  EXPECT_EQ(
      why_refused(*b, {.type = MessageType::kRequest, .number = 1, .id = id, .payload = much}), "");
  EXPECT_EQ(
      why_refused(*b, {.type = MessageType::kRequest, .number = 1, .id = id += 2, .payload = much}),
      "");  // it was given back already
  const std::string more(70'000, 'x');
  EXPECT_NE(
      why_refused(*b, {.type = MessageType::kRequest, .number = 1, .id = id += 2, .payload = more})
          .find("granted"),
      std::string::npos);
}

TEST_F(Connection, MoreCallsThanWereAllowedAreAnError) {
  MuxOptions few = small();
  few.limits.calls_max = 3;
  make(small(), few);
  for (int i = 0; i < 3; ++i) {
    a->call("x", "");
  }
  deliver(*b, a->frame());
  EXPECT_NE(why_refused(*b, {.type = MessageType::kRequest, .number = 1, .id = 7}).find("no more"),
            std::string::npos);
}

TEST_F(Connection, CreditNeverGoesBack) {
  const CallRef stream = a->open("x");
  pump();
  EXPECT_EQ(why_refused(*a, {.type = MessageType::kCredit, .id = 1, .value = 10}), "");
  EXPECT_EQ(a->mux->send(stream, std::string(500, 'x')), SendVerdict::kAccepted);
  pump();
  EXPECT_EQ(b->messages, 1U);
}

TEST_F(Connection, AFrameNeverIsLongerThanThePeerTakes) {
  MuxOptions tight = small();
  tight.limits.frame_bytes_max = 4096;
  make(small(), tight);
  a->checksum = b->checksum = true;
  a->make();
  b->make();
  b->echo = true;
  for (int i = 0; i < 50; ++i) {
    a->call(std::string(255, static_cast<char>('a' + i % 26)), std::string(777, 'x'));
  }
  for (std::string frame = a->frame(); !frame.empty(); frame = a->frame()) {
    EXPECT_LE(frame.size(), 4096U);
    deliver(*b, frame);
    deliver(*a, b->frame());
  }
  EXPECT_EQ(a->mux->stats().unsent_bytes, 0U);
}

// The peer works on the first ones while this side writes the next.
TEST_F(Connection, WholeMessagesGoInSmallFramesAndPiecesInLargeOnes) {
  make(MuxOptions{}, MuxOptions{});
  for (int i = 0; i < 128; ++i) {
    a->call("echo", std::string(512, 'x'));
  }
  std::size_t calls = 0;
  for (std::string frame = a->frame(); !frame.empty(); frame = a->frame()) {
    EXPECT_LT(frame.size(), a->options.small_frame_bytes + 1024);
    ++calls;
  }
  EXPECT_EQ(calls, 5);
  a->call("echo", std::string(1UL << 20U, 'x'));
  EXPECT_GT(a->frame().size(), 60'000);
}

TEST_F(Connection, RefusalsAreStateAndNotAQueue) {
  // The peer asks and cancels, again and again, and never reads: nothing piles up.
  MuxOptions none = small();
  none.handlers_max = 0;
  make(small(), none);
  for (int i = 0; i < 10'000; ++i) {
    const CallRef call = a->call("x", "");
    deliver(*b, a->frame());
    a->mux->cancel(call);
    deliver(*b, a->frame());
  }
  EXPECT_TRUE(b->mux->is_idle());
  EXPECT_EQ(b->frame(), "");
}

TEST_F(Connection, ABurstLeavesNothingThatALaterCallCouldBeTakenFor) {
  b->echo = true;
  std::vector<CallRef> burst;
  for (int i = 0; i < 200; ++i) {
    burst.push_back(a->call("x", ""));
  }
  pump();
  EXPECT_EQ(a->events().size(), 200U);
  b->echo = false;
  const CallRef later = a->call("x", "later");
  for (const CallRef& old : burst) {
    a->mux->cancel(old);
  }
  pump();
  b->mux->respond(b->called.back(), "there");
  pump();
  EXPECT_EQ(a->events(), Lines{"result 201 there"});
  EXPECT_TRUE(later);
}

TEST_F(Connection, AnEventMayCallBack) {
  // A handler that calls, cancels and fails from inside; the fixture's echo answers from inside.
  a->echo = b->echo = true;
  for (int i = 0; i < 20; ++i) {
    a->call("x", std::string(static_cast<std::size_t>(i) * 300, 'x'));
    b->call("x", std::string(static_cast<std::size_t>(i) * 300, 'x'));
  }
  pump();
  EXPECT_EQ(a->events().size(), 40U);
  expect_nothing_left();
}

}  // namespace
}  // namespace trunkline::grid
