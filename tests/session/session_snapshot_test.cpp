// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"
#include "session_fixture.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

// Channels that begin with "snap" have snapshots, which the test ends by hand.
class SessionSnapshotTest : public SessionTest {
 protected:
  SessionSnapshotTest() { options.client.ping_interval = Duration{0}; }

  Peer& subscribe(const std::string& more = "") {
    Peer& peer = join();
    EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"snap")" + more + "}}"), "");
    return peer;
  }

  // What the log of "snap" tells: numbers, without history.
  static std::string push(int number) {
    return fmt::format(R"({{"push":{{"channel":"snap","pub":{{"data":{}}}}}}})", number);
  }
};

TEST_F(SessionSnapshotTest, TheReplyBringsTheState) {
  Peer& peer = subscribe();
  ASSERT_EQ(snapshots.waiting.size(), 1U);
  snapshots.answer(Snapshot{R"({"s":1})", {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"data":{"s":1}}})");
}

TEST_F(SessionSnapshotTest, WhatIsPublishedMeanwhileFollowsOnce) {
  Peer& peer = subscribe();
  publish_range("snap", 1, 3);
  EXPECT_EQ(peer.take(), "");
  snapshots.answer(Snapshot{"0", {}});
  publish_range("snap", 4, 4);
  EXPECT_EQ(peer.take(), "{\"id\":2,\"subscribe\":{\"data\":0}}\n" + push(1) + "\n" + push(2) +
                             "\n" + push(3) + "\n" + push(4));
}

TEST_F(SessionSnapshotTest, WhatTheStateContainsDoesNotFollow) {
  Peer& peer = subscribe();
  const Position second = [&] {
    publish_range("snap", 1, 1);
    return publish("snap", "2");
  }();
  publish_range("snap", 3, 3);
  snapshots.answer(Snapshot{"0", second});
  turn();
  EXPECT_EQ(peer.take(), "{\"id\":2,\"subscribe\":{\"data\":0}}\n" + push(3));
}

TEST_F(SessionSnapshotTest, AStateAheadOfTheLogSkipsWhatItContains) {
  Peer& peer = subscribe();
  const Position first = publish("snap", "1");
  snapshots.answer(Snapshot{"0", Position{first.epoch, Offset{3}}});
  turn();
  publish_range("snap", 2, 5);
  EXPECT_EQ(peer.take(), "{\"id\":2,\"subscribe\":{\"data\":0}}\n" + push(4) + "\n" + push(5));
}

TEST_F(SessionSnapshotTest, AFailureIsATemporaryError) {
  Peer& peer = subscribe();
  snapshots.answer(fail(ErrorCode::kInternal, "no"));
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"error":{"code":100,"message":"internal server error",)"
                         R"("temporary":true}})");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
}

TEST_F(SessionSnapshotTest, OneThatIsTooOldIsTakenAgainButNotForEver) {
  Peer& peer = subscribe();
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(snapshots.waiting.size(), 1U);
    const Position before = snapshots.asked.back();
    publish("snap", "1");
    turn();
    pass(replay::kCatchUp.age_max);  // the log forgets it
    publish("snap", "2");
    turn();
    snapshots.answer(Snapshot{"0", before});
  }
  EXPECT_TRUE(snapshots.waiting.empty());
  turn();
  EXPECT_TRUE(peer.take().starts_with(R"({"id":2,"error":{"code":100,)"));
}

TEST_F(SessionSnapshotTest, OneOfAnotherEpochIsTakenAgain) {
  Peer& peer = subscribe();
  snapshots.answer(Snapshot{"0", Position{"other", Offset{0}}});
  ASSERT_EQ(snapshots.waiting.size(), 1U);
  snapshots.answer(Snapshot{"1", snapshots.asked.back()});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"data":1}})");
}

TEST_F(SessionSnapshotTest, AnOffsetBeyondCountingIsNoPosition) {
  Peer& peer = subscribe();
  for (int attempt = 0; attempt < 3; ++attempt) {
    ASSERT_EQ(snapshots.waiting.size(), 1U);
    snapshots.answer(Snapshot{"0", Position{snapshots.asked.back().epoch, Offset{UINT64_MAX}}});
  }
  turn();
  EXPECT_TRUE(peer.take().starts_with(R"({"id":2,"error":{"code":100,)"));
}

TEST_F(SessionSnapshotTest, ASlowOneDelaysNobodyElsesCommands) {
  Peer& peer = subscribe();
  EXPECT_EQ(ask(peer, R"({"id":3,"subscribe":{"channel":"a"}})"), R"({"id":3,"subscribe":{}})");
}

TEST_F(SessionSnapshotTest, UnsubscribingMeanwhileEndsItWhenItHasCome) {
  Peer& peer = subscribe();
  EXPECT_EQ(ask(peer, R"({"id":3,"unsubscribe":{"channel":"snap"}})"), "");
  publish_range("snap", 1, 1);
  snapshots.answer(Snapshot{"0", {}});
  turn();
  EXPECT_EQ(peer.take(), "{\"id\":2,\"subscribe\":{\"data\":0}}\n{\"id\":3,\"unsubscribe\":{}}");
}

TEST_F(SessionSnapshotTest, CommandsForTheChannelBehindThatKeepTheirOrder) {
  Peer& peer = subscribe();
  ask(peer, R"({"id":3,"unsubscribe":{"channel":"snap"}})");
  ask(peer, R"({"id":4,"unsubscribe":{"channel":"snap"}})");
  ask(peer, R"({"id":5,"subscribe":{"channel":"snap"}})");
  ask(peer, R"({"id":6,"unsubscribe":{"channel":"snap"}})");
  ask(peer, R"({"id":7,"subscribe":{"channel":"snap"}})");
  snapshots.answer(fail(ErrorCode::kInternal, "no"));
  turn();
  EXPECT_EQ(snapshots.waiting.size(), 1U);
  snapshots.answer(Snapshot{"5", {}});
  turn();
  snapshots.answer(Snapshot{"7", {}});
  turn();
  EXPECT_EQ(peer.take(),
            R"({"id":2,"error":{"code":100,"message":"internal server error","temporary":true}})"
            "\n{\"id\":3,\"unsubscribe\":{}}\n{\"id\":4,\"unsubscribe\":{}}\n"
            "{\"id\":5,\"subscribe\":{\"data\":5}}\n{\"id\":6,\"unsubscribe\":{}}\n"
            "{\"id\":7,\"subscribe\":{\"data\":7}}");
}

TEST_F(SessionSnapshotTest, CommandsThatWaitForItAreBounded) {
  Peer& peer = subscribe();
  const std::string token(1000, 'x');
  std::string got;
  for (int i = 3; i < 300; ++i) {
    got += ask(peer, fmt::format(R"({{"id":{},"{}":{{"channel":"snap","token":"{}"}}}})", i,
                                 i < 10 ? "unsubscribe" : "subscribe", token));
  }
  EXPECT_NE(got.find(R"("error":{"code":111,)"), std::string::npos);
  peer.session->disconnect(kDisconnectForce);
  snapshots.answer(Snapshot{"0", {}});
}

TEST_F(SessionSnapshotTest, AClientThatHasGoneIsNotMissed) {
  Peer& peer = subscribe();
  peer.session.reset();
  snapshots.answer(Snapshot{"0", {}});
  turn();
  EXPECT_EQ(hub.stats().home.channels, 0U);
}

// Its end had passed, and the session's timer ran for it at every tick until the snapshot came.
TEST_F(SessionSnapshotTest, AnExpiryMeanwhileWaitsForItWithoutSpinning) {
  tokens.subscriptions["s"] = {.user = {},
                               .channel = "snap",
                               .client = {},
                               .info = {},
                               .expire_at = environment.now.wall + seconds(5)};
  Peer& peer = subscribe(R"(,"token":"s")");
  pass(seconds(60));
  const auto wakeup = timers.next_wakeup();
  EXPECT_TRUE(!wakeup.has_value() || *wakeup > environment.now.monotonic + seconds(1));
  snapshots.answer(Snapshot{"0", {}});
  pass(seconds(1));
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"expires":true,"ttl":1,"data":0}})"
                         "\n"
                         R"({"push":{"channel":"snap","unsubscribe":{"code":2501,)"
                         R"("reason":"subscription expired"}}})");
}

TEST_F(SessionSnapshotTest, ARecoveredSubscriptionNeedsNone) {
  ChannelOptions& log = options.channel.namespaces["snaplog"];
  log = options.channel.namespaces["log"];
  const std::string epoch = publish("snaplog:a", "1").epoch;
  turn();
  Peer& peer = join();
  const std::string reply = ask(
      peer, R"({"id":2,"subscribe":{"channel":"snaplog:a","recover":true,"offset":1,"epoch":")" +
                epoch + R"("}})");
  EXPECT_NE(reply.find(R"("recovered":true)"), std::string::npos) << reply;
  EXPECT_TRUE(snapshots.waiting.empty());
}

}  // namespace
}  // namespace trunkline::session
