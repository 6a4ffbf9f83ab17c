// SPDX-License-Identifier: Apache-2.0
//
// Peers that come anew, under other names and at bad moments.
#include "grid/node_fixture.h"

namespace trunkline::grid {
namespace {

TEST_F(NodeCoreTest, APeersHandlersAreCountedOverAllItsConnections) {
  options.mux.handlers_max = 1;
  b = make(name_of(*b), 2);
  EXPECT_TRUE(b->core->add_peer(name_of(*a)).has_value());
  Wire& wire = connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  wire.is_cut = true;
  b->core->disconnected(wire.ids[1], "cut");
  a->core->disconnected(wire.ids[0], "cut");
  connect(*a, *b);
  pump();
  a->events();
  a->call(name_of(*b), 2);
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 2 busy"});
  std::size_t handlers = 0;
  b->core->for_each_peer([&](const PeerStatus& peer) { handlers += peer.mux.handlers; });
  EXPECT_EQ(handlers, 1U);
  b->answer_all();
  a->call(name_of(*b), 3);
  pump();
  b->answer_all();
  pump();
  EXPECT_EQ(a->events(), Lines{"result 3 answer"});
}

TEST_F(NodeCoreTest, AGuestDoesNotBecomeTheMemberWhoseNameItTook) {
  options.identity.is_guest = true;
  extra = make("c:1", 3);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_TRUE(b->core->mux_of("c:1").has_value());
  EXPECT_TRUE(b->core->add_peer("c:1").has_value());
  EXPECT_FALSE(b->core->mux_of("c:1").has_value());
  EXPECT_EQ(b->dials["c:1"], is_designated(name_of(*b), "c:1"));
  pump();
  connect(*extra, *b);
  pump();
  EXPECT_EQ(extra->events().back(), "refused by peer name");
}

TEST_F(NodeCoreTest, WhoIsToldOfAnEndMayAddAndRemovePeers) {
  for (int i = 2; i < 40; ++i) {
    EXPECT_TRUE(a->core->add_peer(fmt::format("p:{}", i)).has_value());
    a->core->wait(fmt::format("p:{}", i), TimePoint::max(), static_cast<std::uint64_t>(i));
  }
  a->when_ready = [this](std::uint64_t token) {
    static_cast<void>(a->core->remove_peer(fmt::format("p:{}", token)));
    EXPECT_TRUE(a->core->add_peer(fmt::format("q:{}", token)).has_value());
  };
  EXPECT_TRUE(a->core->remove_peer("p:5").has_value());
  EXPECT_TRUE(a->core->add_peer("p:5").has_value());
  a->core->drain(now + 1s);
  EXPECT_EQ(a->events().size(), 38U);
  EXPECT_EQ(a->core->waiter_count(), 0U);
}

TEST_F(NodeCoreTest, AWaiterThatAddsThePeerAgainHasANewOne) {
  a->core->wait(name_of(*b), TimePoint::max(), 1);
  a->when_ready = [this](std::uint64_t) {
    EXPECT_TRUE(a->core->add_peer(name_of(*b)).has_value());
  };
  EXPECT_TRUE(a->core->remove_peer(name_of(*b)).has_value());
  a->when_ready = nullptr;
  connect(*a, *b);
  pump();
  EXPECT_TRUE(a->core->mux_of(name_of(*b)).has_value());
}

TEST_F(NodeCoreTest, ANodeThatStoodStillReadsTheAnswerBeforeItGivesTheOldConnectionUp) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  // The other direction comes, too, and waits for what the old one answers to b's probe.
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  Wire& newcomer = connect(*extra, *b);
  while (say(newcomer, 0) || say(newcomer, 1)) {
  }
  say(wires[0], 1);  // the probe
  now += options.probe_timeout + 1s;
  b->core->advance({now, WallTime(1s)});  // it has slept; the answer was there all the time
  say(wires[0], 0);
  pump();
  EXPECT_TRUE(a->core->mux_of(name_of(*b)).has_value());
  EXPECT_EQ(extra->events().back(), "refused by peer in_use");
}

}  // namespace
}  // namespace trunkline::grid
