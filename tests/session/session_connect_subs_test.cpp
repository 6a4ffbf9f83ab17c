// SPDX-License-Identifier: Apache-2.0
//
// Server-side subscriptions at connect.
#include "server_subs_fixture.h"
#include "session/session.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

using ConnectSubsTest = ServerSubsTest;

TEST_F(ConnectSubsTest, TheConnectReplyHasTheTokensChannelsAndTheirPublicationsFollow) {
  const std::string epoch = publish("log:a", "1").epoch;
  turn();
  grant("t", {"log:a", "b"});
  Peer& peer = open();
  EXPECT_EQ(connect(peer, "t"), R"({"log:a":{"recoverable":true,"epoch":")" + epoch +
                                    R"(","offset":1,"positioned":true},"b":{}}}})");
  publish("log:a", "2");
  publish("b", "3");
  turn();
  EXPECT_EQ(peer.take(), pub("log:a", 2) + "\n" + R"({"push":{"channel":"b","pub":{"data":3}}})");
}

TEST_F(ConnectSubsTest, WhatWasMissedIsInTheReplyAndWhatIsLeftOutHasEnded) {
  publish_range("log:a", 1, 2);
  const Position seen = publish("log:a", "3");
  publish("log:a", "4");
  turn();
  grant("t", {"log:a"});
  Peer& peer = open();
  const std::string subs = ask_for("log:a", {seen.epoch, Offset{2}});
  EXPECT_EQ(connect(peer, "t", subs.substr(0, subs.size() - 1) + R"(,"log:gone":null})"),
            R"({"log:a":{"recoverable":true,"epoch":")" + seen.epoch +
                R"(","publications":[{"data":3,"offset":3},{"data":4,"offset":4}],)"
                R"("recovered":true,"offset":2,"positioned":true,"was_recovering":true}}}})");
  publish("log:a", "5");
  turn();
  EXPECT_EQ(peer.take(), pub("log:a", 5));
}

TEST_F(ConnectSubsTest, WhatTheHistoryNoLongerHoldsIsToldAsNotRecovered) {
  publish_range("log:a", 1, 11);
  const std::string epoch = publish("log:a", "12").epoch;
  turn();
  grant("t", {"log:a"});
  for (const Position& from : {Position{epoch, Offset{1}}, Position{"_", Offset{12}}}) {
    EXPECT_EQ(connect(open(), "t", ask_for("log:a", from)),
              R"({"log:a":{"recoverable":true,"epoch":")" + epoch +
                  R"(","offset":12,"positioned":true,"was_recovering":true}}}})");
  }
}

// One channel is ready long before the other; what it gets meanwhile comes behind the reply.
TEST_F(ConnectSubsTest, PublicationsBetweenAttachAndReplyComeBehindItOnce) {
  const Position seen = publish("log:a", "1");
  publish("log:a", "2");
  turn();
  grant("t", {"log:a", "snapped"});
  Peer& peer = open();
  EXPECT_EQ(connect(peer, "t", ask_for("log:a", seen)), "");
  publish_range("log:a", 3, 4);
  EXPECT_EQ(peer.take(), "");
  snapshots.answer(Snapshot{.data = R"({"s":1})", .position = {}});
  turn();
  const std::string told = peer.take();
  EXPECT_TRUE(has(told, R"("subs":{"log:a":{"recoverable":true,"epoch":")" + seen.epoch +
                            R"(","publications":[{"data":2,"offset":2}],"recovered":true,)"
                            R"("offset":1,"positioned":true,"was_recovering":true},)"
                            R"("snapped":{"data":{"s":1}}}}})"
                            "\n" +
                            pub("log:a", 3) + "\n" + pub("log:a", 4)))
      << told;
}

TEST_F(ConnectSubsTest, CommandsWaitForTheConnectReply) {
  grant("t", {"snapped"});
  Peer& peer = open();
  peer.send(
      "{\"id\":1,\"connect\":{\"token\":\"t\"}}\n{\"id\":2,\"unsubscribe\":{\"channel\":"
      "\"a\"}}");
  peer.send(R"({"id":3,"publish":{"channel":"snapped","data":1}})");
  turn();
  EXPECT_EQ(peer.take(), "");
  EXPECT_FALSE(peer.session->is_connected());
  snapshots.answer(Snapshot{.data = "0", .position = {}});
  turn();
  const std::string told = peer.take();
  EXPECT_TRUE(has(told, R"("subs":{"snapped":{"data":0}}}})"
                        "\n"
                        R"({"id":2,"unsubscribe":{}})"
                        "\n"
                        R"({"id":3,"publish":{}})"
                        "\n"
                        R"({"push":{"channel":"snapped","pub":{"data":1)"))
      << told;
}

TEST_F(ConnectSubsTest, WhatDoesNotFitTheReplyFollowsItOnce) {
  const std::string large(60UL * 1024, '7');
  Position seen;
  for (const std::string channel : {"log:a", "log:b"}) {
    seen = publish(channel, "1");
    for (int i = 0; i < 4; ++i) {
      publish(channel, large);
    }
  }
  turn();
  grant("t", {"log:a", "log:b"});
  Peer& peer = open();
  const auto epoch_of = [this](const std::string& channel) { return publish(channel, "6").epoch; };
  const std::string subs = fmt::format(R"({{"log:a":{{"recover":true,"epoch":"{}","offset":1}},)"
                                       R"("log:b":{{"recover":true,"epoch":"{}","offset":1}}}})",
                                       epoch_of("log:a"), epoch_of("log:b"));
  const std::string told = connect(peer, "t", subs) + peer.take();
  const std::size_t reply = told.find('\n');
  EXPECT_LT(reply, 200UL * 1024);
  for (int offset = 2; offset <= 6; ++offset) {
    std::size_t count = 0;
    const std::string mark = fmt::format(R"("offset":{}}})", offset);
    for (std::size_t at = told.find(mark); at != std::string::npos; at = told.find(mark, at + 1)) {
      ++count;
    }
    EXPECT_EQ(count, 2U) << "offset " << offset;
  }
}

TEST_F(ConnectSubsTest, AUsersOwnChannelIsThereWhenConfigured) {
  options.client.personal_channel = true;
  grant("t", {"b", "b"});
  EXPECT_EQ(connect(open(), "t"), R"({"b":{},"#ann":{}}}})");
  options.client.personal_channel_namespace = "log";
  const std::string reply = connect(open(), "t");
  EXPECT_TRUE(has(reply, R"("log:#ann":{"recoverable":true,)")) << reply;
  // Whoever has no name has no channel of its own.
  EXPECT_FALSE(has(ask(open(), R"({"id":1,"connect":{}})"), "subs"));
}

TEST_F(ConnectSubsTest, TheApplicationSaysWhatAUserMayGoOnWith) {
  std::string asked_by;
  environment.server_channels = [&](std::string_view user, std::span<const std::string> asked) {
    asked_by = fmt::format("{}: {}", user, fmt::join(asked, " "));
    std::vector<ServerChannel> granted;
    for (const std::string& channel : asked) {
      if (channel == "log:job1") {
        granted.push_back({.channel = channel});
      }
    }
    return granted;
  };
  const Position seen = publish("log:job1", "1");
  publish("log:job1", "2");
  turn();
  grant("t", {});
  const std::string subs = ask_for("log:job1", seen);
  const std::string reply =
      connect(open(), "t", subs.substr(0, subs.size() - 1) + R"(,"log:job2":{"recover":true}})");
  EXPECT_EQ(asked_by, "ann: log:job1 log:job2");
  EXPECT_TRUE(has(reply, R"("publications":[{"data":2,"offset":2}],"recovered":true)")) << reply;
  EXPECT_FALSE(has(reply, "job2"));
}

TEST_F(ConnectSubsTest, AChannelThatCanNotBeRefusesTheConnect) {
  for (const auto& [channel, answer] : std::map<std::string, std::string>{
           {"nowhere:a", R"({"id":1,"error":{"code":102,"message":"unknown channel"}})"},
           {"caf\xc3\xa9", R"({"id":1,"error":{"code":107,"message":"bad request"}})"},
           {"", R"({"id":1,"error":{"code":107,"message":"bad request"}})"}}) {
    grant("t", {"b", channel});
    Peer& peer = open();
    EXPECT_EQ(connect(peer, "t"), answer);
    EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
    ask(peer, R"({"id":2,"subscribe":{"channel":"a"}})");
    EXPECT_EQ(peer.close_code, 3501);
  }
}

TEST_F(ConnectSubsTest, MoreChannelsThanTheLimitCloseTheConnection) {
  options.client.channel_limit = 2;
  grant("t", {"a", "b", "c"});
  Peer& peer = open();
  connect(peer, "t");
  EXPECT_EQ(peer.close_code, 3505);
}

TEST_F(ConnectSubsTest, WithoutMemoryAConnectIsRefusedForNow) {
  grant("t", {"a"});
  hub.refuse_growth(true);
  EXPECT_TRUE(has(connect(open(), "t"), R"("code":100)"));
}

TEST_F(ConnectSubsTest, ASnapshotThatFailsRefusesTheConnectForNow) {
  grant("t", {"b", "snapped"});
  Peer& peer = open();
  connect(peer, "t");
  snapshots.answer(fail(ErrorCode::kUnavailable, "away"));
  turn();
  EXPECT_EQ(peer.take(),
            R"({"id":1,"error":{"code":100,"message":"internal server error","temporary":true}})");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
  pass(options.client.stale_close_delay);
  EXPECT_EQ(peer.close_code, 3502);
}

TEST_F(ConnectSubsTest, AConnectionMayEndWhileItsChannelsAreOnTheirWay) {
  grant("t", {"b", "snapped"});
  Peer& peer = open();
  connect(peer, "t");
  peer.session->disconnect(kDisconnectShutdown);
  EXPECT_EQ(peer.close_code, 3001);
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
  snapshots.answer(Snapshot{.data = "1", .position = {}});
  turn();
  EXPECT_EQ(peer.take(), "");
}

TEST_F(ConnectSubsTest, OneThatIsSlowToBeginEndsAsStale) {
  grant("t", {"snapped"});
  Peer& peer = open();
  connect(peer, "t");
  pass(options.client.stale_close_delay);
  EXPECT_EQ(peer.close_code, 3502);
}

TEST_F(ConnectSubsTest, ARefreshWithOtherChannelsConnectsAnew) {
  const auto until = [this](const std::string& token, const std::vector<std::string>& channels) {
    grant(token, channels);
    tokens.connections[token].expire_at = environment.now.wall + seconds(60);
  };
  until("ab", {"a", "b"});
  until("ba", {"b", "a"});
  until("a", {"a"});
  until("", {});
  const std::string refresh = R"({"id":2,"refresh":{"token":")";
  for (const auto& [token, code] : std::map<std::string, int>{{"ba", 0}, {"ab", 0}, {"a", 3010}}) {
    Peer& peer = open();
    connect(peer, "ab");
    ask(peer, refresh + token + R"("}})");
    EXPECT_EQ(peer.close_code, code) << token;
  }
  until("none", {});
  Peer& peer = open();
  connect(peer, "none");
  ask(peer, refresh + R"(a"}})");
  EXPECT_EQ(peer.close_code, 3010);
}

TEST_F(ConnectSubsTest, AUserLimitIsKeptWhileChannelsAreOnTheirWay) {
  struct Limiter final : UserLimiter {
    void acquire(const std::string& /*user*/, std::size_t /*limit*/,
                 std::move_only_function<void(bool)> done) override {
      ++held;
      done(true);
    }

    void release(const std::string& /*user*/) override { --held; }

    int held = 0;
  } limiter;

  environment.users = &limiter;
  options.client.user_connection_limit = 1;
  grant("t", {"snapped"});
  Peer& peer = open();
  peer.send(R"({"id":1,"connect":{"token":"t"}})");
  peer.send(R"({"id":2,"unsubscribe":{"channel":"a"}})");
  turn();
  EXPECT_EQ(peer.take(), "") << "nothing may be answered before the connect";
  snapshots.answer(Snapshot{.data = "1", .position = {}});
  turn();
  EXPECT_TRUE(has(peer.take(), "}}\n{\"id\":2,\"unsubscribe\":{}}"));
  EXPECT_EQ(limiter.held, 1);
  peer.session->disconnect(kDisconnectShutdown);
  EXPECT_EQ(limiter.held, 0);
  environment.users = nullptr;
}

}  // namespace
}  // namespace trunkline::session
