// SPDX-License-Identifier: Apache-2.0
#include "server_subs_fixture.h"
#include "session/session.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

TEST_F(ServerSubsTest, APushSaysWhereItStandsAndWhatIsPublishedLaterFollows) {
  publish("log:a", "1");
  const std::string epoch = publish("log:a", "2").epoch;
  turn();
  Peer& peer = join();
  EXPECT_TRUE(peer.session->subscribe_from_server({.channel = "log:a"}));
  publish("log:a", "3");
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"log:a","subscribe":{"recoverable":true,"epoch":")" +
                             epoch + R"(","offset":2,"positioned":true}}})" + "\n" +
                             pub("log:a", 3));
}

TEST_F(ServerSubsTest, AChannelWithoutHistoryHasAPushWithoutAPosition) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "a", .data = R"({"hello":1})"});
  publish("a", "5");
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"a","subscribe":{"data":{"hello":1}}}})"
                         "\n"
                         R"({"push":{"channel":"a","pub":{"data":5}}})");
}

TEST_F(ServerSubsTest, ItBeginsBehindAGivenPositionWhenTheHistoryHoldsWhatFollows) {
  publish_range("log:a", 1, 3);
  const std::string epoch = publish("log:a", "4").epoch;
  turn();
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "log:a", .since = Position{epoch, Offset{2}}});
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"log:a","subscribe":{"recoverable":true,"epoch":")" +
                             epoch + R"(","offset":2,"positioned":true}}})" + "\n" +
                             pub("log:a", 3) + "\n" + pub("log:a", 4));
  Peer& other = join();
  other.session->subscribe_from_server(
      {.channel = "log:a", .since = Position{"elsewhere", Offset{2}}});
  turn();
  EXPECT_TRUE(has(other.take(), R"("offset":4,)"));
}

TEST_F(ServerSubsTest, TheNewestOfACacheChannelIsItsFirstPublication) {
  ChannelOptions& cache = options.channel.namespaces["cache"];
  cache = options.channel.namespaces["log"];
  cache.force_recovery_mode = RecoveryMode::kCache;
  cache.auto_cache_recover = true;
  publish("cache:a", "1");
  publish("cache:a", "2");
  turn();
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "cache:a"});
  turn();
  const std::string told = peer.take();
  EXPECT_TRUE(has(told, R"("offset":1,"positioned":true}}})"
                        "\n" +
                            pub("cache:a", 2)))
      << told;
}

TEST_F(ServerSubsTest, ItIsPresentWithItsInfoAndHearsItsOwnJoin) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "room:a", .info = R"({"seat":7})"});
  turn();
  const std::string info =
      R"({"user":"","client":")" + peer.session->client() + R"(","chan_info":{"seat":7}})";
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"room:a","subscribe":{}}})"
                         "\n"
                         R"({"push":{"channel":"room:a","join":{"info":)" +
                             info + "}}}");
  Peer& other = join();
  other.session->subscribe_from_server({.channel = "room:a"});
  peer.session->unsubscribe("room:a", kUnsubscribeServer);
  turn();
  EXPECT_TRUE(has(other.take(), R"({"push":{"channel":"room:a","leave":{"info":)" + info + "}}}"));
}

TEST_F(ServerSubsTest, TheServerEndsItWithAPushAndTheClientWithACommand) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "a"});
  EXPECT_TRUE(peer.session->unsubscribe("a", kUnsubscribeServer));
  publish("a", "1");
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"a","subscribe":{}}})"
                         "\n"
                         R"({"push":{"channel":"a","unsubscribe":{"code":2000,)"
                         R"("reason":"server unsubscribe"}}})");
  peer.session->subscribe_from_server({.channel = "a"});
  EXPECT_TRUE(
      has(ask(peer, R"({"id":2,"unsubscribe":{"channel":"a"}})"), R"({"id":2,"unsubscribe":{}})"));
  publish("a", "2");
  turn();
  EXPECT_EQ(peer.take(), "");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
}

TEST_F(ServerSubsTest, AChannelIsSubscribedToOnceWhoeverAsks) {
  Peer& peer = join();
  EXPECT_TRUE(peer.session->subscribe_from_server({.channel = "a"}));
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "a"}));
  turn();
  peer.take();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"a"}})"),
            R"({"id":2,"error":{"code":105,"message":"already subscribed"}})");
  ask(peer, R"({"id":3,"subscribe":{"channel":"b"}})");
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "b"}));
  EXPECT_EQ(hub.stats().feeds.subscriptions, 2U);
}

TEST_F(ServerSubsTest, WhatAClientMayNotHaveIsRefusedAndLogged) {
  std::vector<std::string> lines;
  environment.log = [&lines](std::string_view line) { lines.emplace_back(line); };
  Peer& peer = open();
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "a"})) << "it is not connected";
  ask(peer, R"({"id":1,"connect":{}})");
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "nowhere:a"}));
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = ""}));
  EXPECT_EQ(lines.size(), 2U);
  options.client.channel_limit = 1;
  EXPECT_TRUE(peer.session->subscribe_from_server({.channel = "a"}));
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "b"}));
  options.client.channel_limit = 9;
  hub.refuse_growth(true);
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "c"}));
  EXPECT_EQ(lines.size(), 4U);
}

TEST_F(ServerSubsTest, AClientWhoseOutboxIsFullIsClosedRatherThanToldMore) {
  Peer& peer = join();
  peer.outbox().push_reply(std::string(peer.limits.high_water_bytes + 1, 'x'));
  EXPECT_FALSE(peer.session->subscribe_from_server({.channel = "a"}));
  timers.advance(environment.now.monotonic);
  EXPECT_EQ(peer.close_code, 3008);
}

TEST_F(ServerSubsTest, ASnapshotComesWithThePush) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "snapped"});
  turn();
  EXPECT_EQ(peer.take(), "");
  snapshots.answer(Snapshot{.data = R"({"state":1})", .position = {}});
  EXPECT_TRUE(has(ask(peer, R"({"id":2,"unsubscribe":{"channel":"b"}})"),
                  R"({"push":{"channel":"snapped","subscribe":{"data":{"state":1}}}})"));
}

TEST_F(ServerSubsTest, EndedOnItsWayItIsToldAndEndedOrStaysWhenWantedAgain) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "snapped"});
  EXPECT_TRUE(peer.session->unsubscribe("snapped", kUnsubscribeServer));
  EXPECT_TRUE(peer.session->subscribe_from_server({.channel = "snapped"}));
  EXPECT_TRUE(peer.session->unsubscribe("snapped", kUnsubscribeServer));
  snapshots.answer(Snapshot{.data = "1", .position = {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"snapped","subscribe":{"data":1}}})"
                         "\n"
                         R"({"push":{"channel":"snapped","unsubscribe":{"code":2000,)"
                         R"("reason":"server unsubscribe"}}})");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
}

TEST_F(ServerSubsTest, AClientsSubscribeThatTheServerEndsOnItsWayEndsToo) {
  Peer& peer = join();
  peer.send(R"({"id":2,"subscribe":{"channel":"snapped"}})");
  EXPECT_TRUE(peer.session->unsubscribe("snapped", kUnsubscribeServer));
  snapshots.answer(Snapshot{.data = "1", .position = {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"data":1}})"
                         "\n"
                         R"({"push":{"channel":"snapped","unsubscribe":{"code":2000,)"
                         R"("reason":"server unsubscribe"}}})");
}

TEST_F(ServerSubsTest, AClientsUnsubscribeWaitsForOneThatIsOnItsWay) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "snapped"});
  peer.send(R"({"id":2,"unsubscribe":{"channel":"snapped"}})");
  peer.send(R"({"id":3,"subscribe":{"channel":"snapped"}})");
  snapshots.answer(Snapshot{.data = "1", .position = {}});
  snapshots.answer(Snapshot{.data = "2", .position = {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"snapped","subscribe":{"data":1}}})"
                         "\n"
                         R"({"id":2,"unsubscribe":{}})"
                         "\n"
                         R"({"id":3,"subscribe":{"data":2}})");
}

TEST_F(ServerSubsTest, AMessageBelongsToNoChannelAndWaitsForNoRoom) {
  Peer& peer = join();
  EXPECT_TRUE(peer.session->send(R"({"a":1})"));
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"message":{"data":{"a":1}}}})");
  stalled[&peer] = true;
  const std::string large = "\"" + std::string(peer.limits.high_water_bytes / 2, 'x') + "\"";
  EXPECT_TRUE(peer.session->send(large));
  EXPECT_TRUE(peer.session->send("1"));
  EXPECT_FALSE(peer.session->send(large)) << "more than one that does not read may have waiting";
  EXPECT_TRUE(peer.session->send("2"));
  peer.session->disconnect(3000, "gone");
  EXPECT_FALSE(peer.session->send("3"));
}

TEST_F(ServerSubsTest, OneWhoseSnapshotFailsIsNotToldOf) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "snapped"});
  peer.send(R"({"id":2,"unsubscribe":{"channel":"snapped"}})");
  snapshots.answer(fail(ErrorCode::kUnavailable, "away"));
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"unsubscribe":{}})");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
}

TEST_F(ServerSubsTest, ALostPlaceEndsTheConnectionSinceTheClientCanNotAskAgain) {
  Peer& peer = join();
  peer.session->subscribe_from_server({.channel = "log:a"});
  turn();
  stalled[&peer] = true;
  publish_range("log:a", 1, 20);
  pass(replay::kCatchUp.age_max);
  publish_range("log:a", 21, 21);
  stalled.clear();
  turn();
  EXPECT_EQ(peer.close_code, 3010);
}

TEST_F(ServerSubsTest, OneThatExpiresEndsTheConnection) {
  options.client.expired_sub_close_delay = seconds(3);
  Peer& peer = join();
  peer.session->subscribe_from_server(
      {.channel = "a", .expire_at = environment.now.wall + seconds(5)});
  EXPECT_EQ(ask(peer, R"({"id":2,"sub_refresh":{"channel":"b","token":"t"}})"),
            R"({"push":{"channel":"a","subscribe":{}}})"
            "\n"
            R"({"id":2,"error":{"code":103,"message":"permission denied"}})");
  pass(seconds(7));
  EXPECT_EQ(peer.close_code, 0);
  pass(seconds(1));
  EXPECT_EQ(peer.close_code, 3006);
}

TEST_F(ServerSubsTest, AClientCanNotRenewIt) {
  Peer& peer = join();
  peer.session->subscribe_from_server(
      {.channel = "a", .expire_at = environment.now.wall + seconds(5)});
  ask(peer, R"({"id":2,"sub_refresh":{"channel":"a","token":"t"}})");
  EXPECT_EQ(peer.close_code, 3501);
}

}  // namespace
}  // namespace trunkline::session
