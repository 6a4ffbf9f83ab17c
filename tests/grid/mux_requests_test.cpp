// SPDX-License-Identifier: Apache-2.0
//
// Single requests: answers, failures, cancel, deadlines, limits.
#include "grid/mux_fixture.h"

namespace trunkline::grid {
namespace {

class Requests : public MuxTest {};

TEST_F(Requests, ARequestIsAnswered) {
  const CallRef call = a->call("lock", "k1");
  pump();
  EXPECT_EQ(b->events(), Lines{"call lock k1"});
  b->mux->respond(b->called[0], "granted");
  pump();
  EXPECT_EQ(a->events(), Lines{"result 1 granted"});
  EXPECT_TRUE(call);
  expect_nothing_left();
}

TEST_F(Requests, EitherSideMayCall) {
  a->echo = b->echo = true;
  a->call("x", "1");
  b->call("y", "2");
  pump();
  EXPECT_EQ(a->events(), (Lines{"call y 2", "result 1 1"}));
  EXPECT_EQ(b->events(), (Lines{"call x 1", "result 1 2"}));
  expect_nothing_left();
}

TEST_F(Requests, ManyGoInOneFrame) {
  b->echo = true;
  for (int i = 0; i < 100; ++i) {
    a->call("x", "12345678");
  }
  const std::string frame = a->frame();
  deliver(*b, frame);
  EXPECT_EQ(b->lines.size(), 100U);
  pump();
  EXPECT_EQ(a->events().size(), 100U);
  expect_nothing_left();
}

TEST_F(Requests, ANameIsSaidOnce) {
  b->echo = true;
  a->call("a rather long name of a handler", "");
  const std::string first = a->frame();
  deliver(*b, first);
  a->call("a rather long name of a handler", "");
  const std::string second = a->frame();
  deliver(*b, second);
  EXPECT_EQ(second.size(), kHeaderBytes + 4);
  EXPECT_EQ(b->events(), (Lines{"call a rather long name of a handler ",
                                "call a rather long name of a handler "}));
}

TEST_F(Requests, MoreNamesThanNumbersAreSaidInFull) {
  b->echo = true;
  for (int i = 0; i < kHandlerNumbersMax + 10; ++i) {
    a->call(fmt::format("handler {}", i), "");
    pump();
    EXPECT_EQ(b->events(), Lines{fmt::format("call handler {} ", i)});
  }
}

TEST_F(Requests, ALargeOneGoesInPiecesAndComesWhole) {
  std::string large(300'000, 'x');
  large.front() = 'a';
  large.back() = 'z';
  b->echo = true;
  a->call("x", large);
  pump();
  EXPECT_EQ(a->events(), Lines{"result 1 [300000 bytes]"});
  expect_nothing_left();
}

TEST_F(Requests, ManyLargeOnesBothWaysAtOnce) {
  a->echo = b->echo = true;
  for (int i = 0; i < 3; ++i) {
    a->call("x", std::string(100'000, 'x'));
    b->call("x", std::string(100'000, 'y'));
  }
  pump();
  EXPECT_EQ(a->events().size(), 6U);
  EXPECT_EQ(b->events().size(), 6U);
  expect_nothing_left();
}

TEST_F(Requests, AHandlersErrorComesWithItsNumberAndText) {
  a->call("x", "");
  pump();
  b->mux->fail(b->called[0],
               {.code = FailureCode::kHandler, .application = 1234, .text = "no such lock"});
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 1 handler"});
  EXPECT_EQ(a->last_failure.application, 1234U);
  EXPECT_EQ(a->last_failure.text, "no such lock");
  EXPECT_EQ(origin(a->last_failure), Origin::kHandler);
  expect_nothing_left();
}

TEST_F(Requests, ACancelReturnsAtOnceAndStopsTheHandlerThere) {
  const CallRef call = a->call("x", "");
  pump();
  a->mux->cancel(call);
  EXPECT_EQ(a->mux->stats().own_calls, 1U);  // until the peer was told
  pump();
  EXPECT_EQ(b->events(), (Lines{"call x ", "stop 1 cancelled"}));
  EXPECT_EQ(a->events(), Lines{});
  EXPECT_TRUE(a->mux->is_idle());
  EXPECT_EQ(b->mux->stats().handlers, 1U);  // until it has ended
  b->mux->respond(b->called[0], "too late");
  pump();
  EXPECT_EQ(a->events(), Lines{});
  expect_nothing_left();
}

TEST_F(Requests, ACancelBeforeTheRequestHasLeftSaysNothing) {
  a->mux->cancel(a->call("x", ""));
  EXPECT_EQ(a->frame(), "");
  expect_nothing_left();
}

TEST_F(Requests, ACancelThatCrossesTheAnswerIsHarmless) {
  const CallRef call = a->call("x", "");
  pump();
  b->mux->respond(b->called[0], "there");
  const std::string answer = b->frame();
  a->mux->cancel(call);
  deliver(*b, a->frame());
  deliver(*a, answer);
  pump();
  EXPECT_EQ(a->events(), Lines{});
  EXPECT_EQ(a->mux->stats().late_dropped, 1U);
  EXPECT_EQ(b->mux->stats().late_dropped, 1U);
  expect_nothing_left();
}

TEST_F(Requests, ACancelInTheMidstOfALargeRequestGivesItUp) {
  const CallRef call = a->call("x", std::string(50'000, 'x'));
  deliver(*b, a->frame(4096));
  EXPECT_GT(b->pool.used(), 0U);
  a->mux->cancel(call);
  pump();
  EXPECT_EQ(b->events(), Lines{});  // no handler has seen it
  EXPECT_EQ(a->mux->stats().unsent_bytes, 0U);
  expect_nothing_left();
}

TEST_F(Requests, ACancelInTheMidstOfALargeAnswerGivesItUp) {
  const CallRef call = a->call("x", "");
  pump();
  b->mux->respond(b->called[0], std::string(50'000, 'x'));
  deliver(*a, b->frame(4096));
  a->mux->cancel(call);
  pump();
  EXPECT_EQ(a->events(), Lines{});
  expect_nothing_left();
}

TEST_F(Requests, ADeadlineEndsItHereAndThere) {
  a->call("x", "", 100ms);
  pump();
  EXPECT_EQ(b->mux->stats().handlers, 1U);
  pass(110ms);
  EXPECT_EQ(a->events(), Lines{"failure 1 deadline"});
  pump();
  EXPECT_EQ(b->events(), (Lines{"call x ", "stop 1 deadline"}));
  b->mux->respond(b->called[0], "too late");
  pump();
  EXPECT_EQ(a->events(), Lines{});
  expect_nothing_left();
}

TEST_F(Requests, WhatIsLeftOfTheTimeTravels) {
  a->call("x", "", 1s);
  pass(400ms);  // it waits to be sent
  std::string frame = a->frame();
  std::string_view rest = frame;
  EXPECT_EQ(take_message(rest)->deadline_ms, 600U);
}

TEST_F(Requests, ADeadlineBeforeItHasLeftSaysThatItNeverRan) {
  a->call("x", "", 50ms);
  pass(60ms);
  EXPECT_EQ(a->events(), Lines{"failure 1 deadline not run"});
  EXPECT_EQ(a->frame(), "");
  a->call("x", "", -1ms);
  EXPECT_EQ(a->events(), Lines{"refused deadline not run"});
  expect_nothing_left();
}

TEST_F(Requests, ADeadlineInTheMidstOfALargeAnswerFails) {
  a->call("x", "", 100ms);
  pump();
  b->mux->respond(b->called[0], std::string(50'000, 'x'));
  deliver(*a, b->frame(4096));
  pass(110ms);
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 1 deadline"});
  expect_nothing_left();
}

TEST_F(Requests, HandlersAreLimitedAndThoseOfCancelledCallsCount) {
  MuxOptions two = small();
  two.handlers_max = 2;
  make(small(), two);
  const CallRef first = a->call("x", "1");
  a->call("x", "2");
  a->call("x", "3");
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 3 busy not run"});
  a->mux->cancel(first);
  a->call("x", "4");
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 4 busy not run"});
  b->mux->respond(b->called[0], "");  // the cancelled one's handler ends
  a->call("x", "5");
  pump();
  EXPECT_EQ(a->events(), Lines{});
  EXPECT_EQ(b->called.size(), 3U);
}

TEST_F(Requests, ThePeersLimitOfCallsIsKeptHere) {
  MuxOptions few = small();
  few.limits.calls_max = 2;
  make(small(), few);
  a->call("x", "");
  const CallRef second = a->call("x", "");
  a->call("x", "");
  EXPECT_EQ(a->events(), Lines{"refused full not run"});
  pump();
  a->mux->cancel(second);
  a->call("x", "");
  EXPECT_EQ(a->events(),
            Lines{"refused full not run"});  // the peer does not know of the cancel yet
  pump();
  EXPECT_TRUE(a->call("x", ""));
  pump();
}

TEST_F(Requests, MessagesLargerThanThePeerTakesAreRefusedHere) {
  EXPECT_FALSE(a->call("x", std::string(400'001, 'x')));
  EXPECT_EQ(a->events(), Lines{"refused too_large not run"});
  a->call("x", "");
  pump();
  b->mux->respond(b->called[0], std::string(400'001, 'x'));
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 2 too_large"});
  expect_nothing_left();
}

TEST_F(Requests, MemoryForPuttingMessagesTogetherIsLimited) {
  make(small(), small(), 250'000);
  a->call("x", std::string(200'000, 'x'));
  a->call("x", std::string(200'000, 'x'));
  pump();
  EXPECT_EQ(b->events(), Lines{"call x [200000 bytes]"});
  EXPECT_EQ(a->events(), Lines{"failure 2 memory not run"});
  b->mux->respond(b->called[0], "");
  pump();
  expect_nothing_left();
}

TEST_F(Requests, AResponseThatThereIsNoMemoryForFailsAndStopsTheSender) {
  make(small(), small(), 100'000);
  a->call("x", "");
  pump();
  b->mux->respond(b->called[0], std::string(200'000, 'x'));
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 1 memory"});
  expect_nothing_left();
}

TEST_F(Requests, UnsentBytesAreLimited) {
  MuxOptions little = small();
  little.unsent_bytes_max = 1000;
  make(little, small());
  EXPECT_TRUE(a->call("x", std::string(5000, 'x')));  // one alone may be larger
  EXPECT_FALSE(a->call("x", "y"));
  EXPECT_EQ(a->events(), Lines{"refused full not run"});
}

TEST_F(Requests, NamesThatCannotBeSaidAreRefusedHere) {
  EXPECT_FALSE(a->call("", ""));
  EXPECT_FALSE(a->call(std::string(256, 'n'), ""));
  EXPECT_EQ(a->events(), (Lines{"refused invalid not run", "refused invalid not run"}));
}

TEST_F(Requests, ALossEndsEverythingAtOnceAndTruthfully) {
  a->call("x", "sent");
  pump();
  a->call("x", "queued");
  a->mux->lose("cut", now);
  EXPECT_EQ(a->events(), (Lines{"failure 1 disconnected", "failure 2 disconnected not run"}));
  b->mux->lose("cut", now);
  EXPECT_EQ(b->events(), (Lines{"call x sent", "stop 1 disconnected"}));
  EXPECT_FALSE(a->call("x", ""));
  EXPECT_EQ(b->mux->stats().handlers, 1U);
  b->mux->respond(b->called[0], "late");
  expect_nothing_left();
}

TEST_F(Requests, AHandlerMayAnswerTwiceOrAWrongOneWithoutHarm) {
  a->call("x", "");
  pump();
  b->mux->respond(b->called[0], "1");
  b->mux->respond(b->called[0], "2");
  b->mux->fail(b->called[0], {});
  b->mux->finish(b->called[0]);
  b->mux->respond({7, 7}, "2");
  pump();
  EXPECT_EQ(a->events(), Lines{"result 1 1"});
  expect_nothing_left();
}

TEST_F(Requests, IdsGoUpByTwoFromOneAndTwo) {
  a->call("x", "");
  a->call("x", "");
  b->call("x", "");
  std::string frame = a->frame();
  std::string_view rest = frame;
  EXPECT_EQ(take_message(rest)->id, 1U);
  EXPECT_EQ(take_message(rest)->id, 3U);
  frame = b->frame();
  rest = frame;
  EXPECT_EQ(take_message(rest)->id, 2U);
}

TEST_F(Requests, FramesCarryChecksumsWhenAgreed) {
  a->checksum = b->checksum = true;
  a->make();
  b->make();
  a->call("x", "1");
  std::string frame = a->frame();
  ASSERT_TRUE(b->mux->on_frame(frame, now).has_value());
  a->call("x", "2");
  frame = a->frame();
  frame[3] = 'x';
  EXPECT_FALSE(b->mux->on_frame(frame, now).has_value());
}

TEST_F(Requests, AResponseOfOnePieceThatIsLargerThanAllowedIsRefused) {
  MuxOptions narrow = small();
  narrow.limits.message_bytes_max = 2000;
  make(narrow, small());
  a->call("x", "");
  pump();
  EXPECT_EQ(
      why_refused(*a, {.type = MessageType::kResponse, .id = 1, .payload = std::string(3000, 'x')}),
      "");
  EXPECT_EQ(a->events(), Lines{"failure 1 too_large"});
}

TEST_F(Requests, DataOfOnePieceThatIsLargerThanAllowedIsRefused) {
  MuxOptions narrow = small();
  narrow.limits.message_bytes_max = 2000;
  narrow.limits.stream_window = 4096;
  make(narrow, small());
  a->open("x", "");
  pump();
  EXPECT_EQ(
      why_refused(*a, {.type = MessageType::kData, .id = 1, .payload = std::string(3000, 'x')}),
      "");
  EXPECT_EQ(a->events(), Lines{"failure 1 too_large"});
}

}  // namespace
}  // namespace trunkline::grid
