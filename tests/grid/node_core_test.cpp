// SPDX-License-Identifier: Apache-2.0
//
// Which connection counts, and what becomes of what was open on the others.
#include "grid/node_fixture.h"

namespace trunkline::grid {
namespace {

TEST_F(NodeCoreTest, TheDesignatedNodeDialsAndBothAreUp) {
  EXPECT_TRUE(a->dials[name_of(*b)]);
  EXPECT_FALSE(b->dials[name_of(*a)]);
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events(), Lines{"up " + name_of(*b)});
  EXPECT_EQ(b->events(), Lines{"up " + name_of(*a)});
  b->call(name_of(*a), 7);
  pump();
  a->answer_all();
  pump();
  EXPECT_EQ(b->events(), Lines{"result 7 answer"});
}

TEST_F(NodeCoreTest, TheOtherOneDialsWhenTheDesignatedDoesNotCome) {
  pass(11s);
  EXPECT_TRUE(b->dials[name_of(*a)]);
  connect(*b, *a);
  pump();
  EXPECT_TRUE(is_connected(*a));
  // Once the designated one has come, it is left to it.
  connect(*a, *b);
  pump();
  EXPECT_FALSE(b->dials[name_of(*a)]);
}

TEST_F(NodeCoreTest, APeerThatIsSilentInTheHandshakeIsDroppedAtADeadline) {
  Wire& wire = connect(*a, *b);
  wire.is_silent = true;
  pump();
  pass(5100ms);
  EXPECT_EQ(a->events(), Lines{"refused timeout"});
  EXPECT_EQ(b->events(), Lines{"refused timeout"});
  EXPECT_EQ(a->closed.size(), 1U);
  EXPECT_EQ(b->closed.size(), 1U);
  EXPECT_EQ(a->core->connection_count() + b->core->connection_count(), 0U);
}

TEST_F(NodeCoreTest, WhoIsNoPeerIsRefusedWithAReasonOnBothSides) {
  EXPECT_TRUE(b->core->remove_peer(name_of(*a)).has_value());
  connect(*a, *b);
  pump();
  EXPECT_EQ(b->events(), Lines{"refused name"});
  EXPECT_EQ(a->events(), Lines{"refused by peer name"});
  EXPECT_EQ(a->core->connection_count(), 0U);
}

TEST_F(NodeCoreTest, BothConnectAtOnceAndNothingIsLost) {
  // Whichever of the two stands first, and with calls on it.
  for (const bool reverse_first : {false, true}) {
    wires.clear();
    SetUp();
    Wire& first = reverse_first ? connect(*b, *a) : connect(*a, *b);
    Wire& second = reverse_first ? connect(*a, *b) : connect(*b, *a);
    while (say(first, 0) || say(first, 1)) {
    }
    a->call(name_of(*b), 1);
    b->call(name_of(*a), 2);
    while (say(first, 0) || say(first, 1)) {
    }
    while (say(second, 0) || say(second, 1)) {
    }
    a->call(name_of(*b), 3);
    b->call(name_of(*a), 4);
    pump();
    a->answer_all();
    b->answer_all();
    pump();
    const auto has = [](const Lines& lines, const std::string& line) {
      return std::ranges::find(lines, line) != lines.end();
    };
    const Lines at_a = a->events();
    const Lines at_b = b->events();
    EXPECT_TRUE(has(at_a, "result 1 answer") && has(at_a, "result 3 answer"));
    EXPECT_TRUE(has(at_b, "result 2 answer") && has(at_b, "result 4 answer"));
    EXPECT_EQ(a->core->connection_count(), 1U) << reverse_first;
    EXPECT_EQ(b->core->connection_count(), 1U) << reverse_first;
  }
}

TEST_F(NodeCoreTest, AReplacedConnectionEndsEachOfItsFortyStreamsWithAnError) {
  Wire& old = connect(*a, *b);
  pump();
  for (std::uint64_t token = 1; token <= 40; ++token) {
    b->call(name_of(*a), token, CallKind::kStream);
  }
  pump();
  b->events();
  old.is_silent = true;
  old.is_cut = true;  // a has lost it, b has not noticed
  a->core->disconnected(old.ids[0], "reset");
  connect(*a, *b);
  pump();
  Lines events = b->events();
  ASSERT_EQ(events.size(), 42U);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(events[i], fmt::format("failure {} disconnected", i + 1));
  }
  EXPECT_EQ(events[41], "up " + name_of(*a));
}

TEST_F(NodeCoreTest, ARestartedPeerEndsWhatItsOldInstanceHadOpen) {
  Wire& old = connect(*a, *b);
  pump();
  b->call(name_of(*a), 1);
  pump();
  b->events();
  old.is_silent = true;
  old.is_cut = true;
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_FALSE(is_connected(*extra));  // b asks the old one first
  pass(1100ms);
  pump();
  EXPECT_TRUE(is_connected(*extra));
  EXPECT_EQ(b->events()[0], "failure 1 disconnected");
}

TEST_F(NodeCoreTest, TheSameNameTwiceIsRefusedWhileTheFirstIsAlive) {
  connect(*a, *b);
  pump();
  b->call(name_of(*a), 1);
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_EQ(extra->events(), Lines{"refused by peer in_use"});
  EXPECT_TRUE(is_connected(*a));
  a->answer_all();
  pump();
  EXPECT_EQ(b->events().back(), "result 1 answer");
}

TEST_F(NodeCoreTest, CallersMayWaitForAPeer) {
  a->core->wait(name_of(*b), TimePoint::max(), 1);
  a->core->wait(name_of(*b), now + 50ms, 2);
  a->core->wait("nobody:1", TimePoint::max(), 3);
  a->core->wait(name_of(*b), TimePoint::max(), 4);
  a->core->cancel_wait(4);
  pass(60ms);
  EXPECT_EQ(a->events(), (Lines{"ready 3 invalid", "ready 2 deadline"}));
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events(), (Lines{"up " + name_of(*b), "ready 1 yes"}));
  a->core->wait(name_of(*b), TimePoint::max(), 5);
  EXPECT_EQ(a->events(), Lines{"ready 5 yes"});
  EXPECT_EQ(a->core->waiter_count(), 0U);
}

TEST_F(NodeCoreTest, ANodeThatEndsLetsWhatIsOpenFinish) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  b->core->drain(now + 10s);
  pump();
  EXPECT_FALSE(b->core->is_drained());
  b->answer_all();
  pump();
  EXPECT_EQ(a->events(),
            (Lines{"up " + name_of(*b), "result 1 answer", "down " + name_of(*b) + ": drained"}));
  EXPECT_TRUE(b->core->is_drained());
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events().back(), "refused by peer draining");
}

TEST_F(NodeCoreTest, WhatDoesNotFinishInTimeIsCut) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  b->core->drain(now + 100ms);
  pump();
  pass(150ms);
  EXPECT_TRUE(b->core->is_drained());
  pump();
  EXPECT_EQ(a->events()[1], "failure 1 disconnected");
}

TEST_F(NodeCoreTest, PeersMayBeRemovedWhileCallsAreOpen) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  EXPECT_TRUE(a->core->remove_peer(name_of(*b)).has_value());
  EXPECT_EQ(a->events()[1], "failure 1 disconnected");
  EXPECT_FALSE(a->core->mux_of(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->remove_peer(name_of(*b)).has_value());
  EXPECT_TRUE(a->core->add_peer(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->add_peer(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->add_peer(name_of(*a)).has_value());
}

TEST_F(NodeCoreTest, ARuleThatIsBrokenEndsTheConnectionAndSaysWhich) {
  Wire& wire = connect(*a, *b);
  pump();
  b->core->received(wire.ids[1], "nonsense");
  ASSERT_EQ(b->reasons.size(), 1U);
  EXPECT_NE(b->reasons[0].find("cut short"), std::string::npos);
  Wire& next = connect(*a, *b);
  a->core->received(next.ids[0], std::string(5000, 'x'));
  EXPECT_NE(a->reasons.back().find("5000 bytes in the handshake"), std::string::npos);
}

TEST_F(NodeCoreTest, HandlersOfLostConnectionsMayEndLater) {
  Wire& wire = connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  wire.is_cut = true;
  b->core->disconnected(wire.ids[1], "cut");
  pass(5ms);
  EXPECT_EQ(b->core->orphan_count(), 1U);
  b->answer_all();
  pass(5ms);
  EXPECT_EQ(b->core->orphan_count(), 0U);
}

TEST(NodeOptions, ThatCannotBeAreNamed) {
  NodeOptions options;
  EXPECT_FALSE(check_options(options).has_value());
  options.identity.name = "a:1";
  options.identity.instance.fill(1);
  EXPECT_TRUE(check_options(options).has_value());
  options.identity.secret = "short";
  EXPECT_NE(check_options(options).error().context.find("secret"), std::string::npos);
}

TEST(NodeOptions, OfAStreamsBytesFitWhatCountsThem) {
  NodeOptions options;
  options.identity.name = "a:1";
  options.identity.instance.fill(1);
  for (std::size_t MuxOptions::* const of_stream :
       {&MuxOptions::stream_window_max, &MuxOptions::stream_rescue_max}) {
    const std::size_t usual = options.mux.*of_stream;
    options.mux.*of_stream = kStreamBytesBound;
    EXPECT_TRUE(check_options(options).has_value());
    for (const std::size_t beyond : {kStreamBytesBound + 1, (4UL << 30U) + usual}) {
      options.mux.*of_stream = beyond;
      EXPECT_NE(check_options(options).error().context.find("is more than"), std::string::npos);
    }
    options.mux.*of_stream = usual;
  }
}

TEST(MayRetry, OnlyWhatNobodyHasSeenOrWhatDoesNoHarmTwice) {
  EXPECT_TRUE(may_retry({.code = FailureCode::kDraining, .not_run = true}, false));
  EXPECT_FALSE(may_retry({.code = FailureCode::kDisconnected}, false));
  EXPECT_TRUE(may_retry({.code = FailureCode::kDisconnected}, true));
  EXPECT_FALSE(may_retry({.code = FailureCode::kHandler}, true));
  EXPECT_FALSE(may_retry({.code = FailureCode::kDeadline, .not_run = true}, true));
}

}  // namespace
}  // namespace trunkline::grid
