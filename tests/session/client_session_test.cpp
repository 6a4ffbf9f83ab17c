// SPDX-License-Identifier: Apache-2.0
#include "session/client_fixture.h"

namespace trunkline::session {
namespace {

TEST_F(ClientSessionTest, SendsConnectAndSubscribesInOneMessage) {
  options.name = "test";
  options.token = "t";
  subscribe("a");
  subscribe("b");
  session().connect(now);
  server_opens();
  EXPECT_EQ(sent, Lines{"{\"id\":1,\"connect\":{\"token\":\"t\",\"name\":\"test\"}}\n"
                        "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
                        "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}"});
}

TEST_F(ClientSessionTest, SaysConnectedWithIdAndVersion) {
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"connect":{"client":"abc","version":"1.2"}})");
  EXPECT_EQ(log, (Lines{"connecting 0", "connected abc 1.2"}));
}

TEST_F(ClientSessionTest, AnswersEachPingWithOnePong) {
  connect();
  sent.clear();
  server_says("{}\n{}");
  EXPECT_EQ(sent, Lines{"{}\n{}"});
}

TEST_F(ClientSessionTest, DoesNotAnswerPingsWhenTheServerWantsNone) {
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"connect":{"client":"c","ping":25}})");
  sent.clear();
  server_says("{}");
  EXPECT_TRUE(sent.empty());
}

TEST_F(ClientSessionTest, ReconnectsWhenTheServerIsSilentBeyondPingAndDelay) {
  connect();
  wait(seconds(34));
  EXPECT_TRUE(closed.empty());
  wait(seconds(1));
  EXPECT_EQ(closed, Lines{"no ping"});
  EXPECT_EQ(log, Lines{"connecting 2"});
  wait_for_attempt();
}

TEST_F(ClientSessionTest, AnyMessageProvesThatTheServerLives) {
  connect();
  for (int i = 0; i < 5; ++i) {
    wait(seconds(30));
    server_says("{}");
  }
  EXPECT_TRUE(closed.empty());
}

struct CloseCase {
  std::uint16_t code;
  bool reconnects;
  std::uint32_t told;
};

class ClientSessionCloses : public ClientSessionTest,
                            public ::testing::WithParamInterface<CloseCase> {};

TEST_P(ClientSessionCloses, ByTheRangeOfTheCode) {
  connect();
  server_closes(GetParam().code, "why");
  ASSERT_EQ(log.size(), 1U);
  if (GetParam().reconnects) {
    EXPECT_EQ(log[0], fmt::format("connecting {}", GetParam().told));
    wait_for_attempt();
  } else {
    EXPECT_TRUE(log[0].starts_with(fmt::format("disconnected {} ", GetParam().told))) << log[0];
    wait(seconds(100));
    EXPECT_EQ(opened, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Codes, ClientSessionCloses,
    ::testing::Values(CloseCase{1000, true, 1}, CloseCase{1005, true, 1}, CloseCase{1006, true, 1},
                      CloseCase{1009, false, 3}, CloseCase{3000, true, 3000},
                      CloseCase{3499, true, 3499}, CloseCase{3500, false, 3500},
                      CloseCase{3999, false, 3999}, CloseCase{4000, true, 4000},
                      CloseCase{4499, true, 4499}, CloseCase{4500, false, 4500},
                      CloseCase{4999, false, 4999}, CloseCase{5000, true, 5000}));

TEST_F(ClientSessionTest, HoldsReconnectDelaysBetweenMinimumAndMaximum) {
  session().connect(now);
  for (int attempt = 0; attempt < 40; ++attempt) {
    server_closes(1006);
    const TimePoint closed_at = now;
    wait_for_attempt();
    const Duration delay = opened_at - closed_at;
    EXPECT_GE(delay, options.reconnect_delay_min);
    EXPECT_LE(delay, options.reconnect_delay_max);
    ASSERT_EQ(opened, attempt + 2);
  }
}

TEST_F(ClientSessionTest, SpreadsTheFirstReconnect) {
  std::vector<Duration> delays;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    ClientSession one(options, decoder, Random(seed), *this, *this);
    one.connect(now);
    one.on_transport_closed(1006, "", now);
    delays.push_back(one.next_wakeup() - now);
  }
  std::ranges::sort(delays);
  EXPECT_GT(delays.back() - delays.front(), milliseconds(100));
}

TEST_F(ClientSessionTest, GivesUpAnAttemptThatTakesTooLong) {
  session().connect(now);
  wait(options.connect_timeout);
  EXPECT_EQ(closed, Lines{"connect timeout"});
  wait_for_attempt();
}

TEST_F(ClientSessionTest, GivesUpAServerThatNeverAnswersTheConnect) {
  session().connect(now);
  server_opens();
  wait(options.command_timeout);
  EXPECT_EQ(closed, Lines{"connect timeout"});
  wait_for_attempt();
}

TEST_F(ClientSessionTest, TriesAgainAfterATemporaryConnectError) {
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"error":{"code":100,"message":"internal","temporary":true}})");
  EXPECT_EQ(log, (Lines{"connecting 0", "error internal"}));
  wait_for_attempt();
}

TEST_F(ClientSessionTest, EndsWithAnyOtherConnectError) {
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"error":{"code":103,"message":"permission denied"}})");
  EXPECT_EQ(log, (Lines{"connecting 0", "disconnected 103 permission denied"}));
}

TEST_F(ClientSessionTest, FetchesANewTokenWhenTheOldOneHasExpired) {
  options.token = "old";
  options.has_get_token = true;
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"error":{"code":109,"message":"token expired"}})");
  wait(seconds(2));
  ASSERT_EQ(tickets.size(), 1U);
  session().on_token(tickets[0], std::string("new"), now);
  sent.clear();
  server_opens();
  EXPECT_EQ(sent, Lines{R"({"id":2,"connect":{"token":"new"}})"});
}

TEST_F(ClientSessionTest, EndsWhenThereIsNoToken) {
  options.has_get_token = true;
  session().connect(now);
  session().on_token(tickets.at(0), std::string(), now);
  EXPECT_EQ(log, (Lines{"connecting 0", "disconnected 1 unauthorized"}));
}

TEST_F(ClientSessionTest, IgnoresATokenThatComesAfterDisconnect) {
  options.has_get_token = true;
  session().connect(now);
  session().disconnect(0, "called");
  session().on_token(tickets.at(0), std::string("late"), now);
  EXPECT_EQ(opened, 0);
}

TEST_F(ClientSessionTest, RefreshesItsTokenInTime) {
  options.token = "old";
  options.has_get_token = true;
  session().connect(now);
  server_opens();
  server_says(R"({"id":1,"connect":{"client":"c","expires":true,"ttl":60}})");
  wait(seconds(60));
  ASSERT_EQ(tickets.size(), 1U);
  sent.clear();
  session().on_token(tickets[0], std::string("new"), now);
  flush();
  EXPECT_EQ(sent, Lines{R"({"id":2,"refresh":{"token":"new"}})"});
}

TEST_F(ClientSessionTest, EndsOnGarbage) {
  connect();
  server_says("not json");
  ASSERT_EQ(log.size(), 1U);
  EXPECT_TRUE(log[0].starts_with("disconnected 2 ")) << log[0];
}

TEST_F(ClientSessionTest, TakesNothingAfterItsEndInTheSameMessage) {
  connect();
  server_says("not json\n{}");
  sent.clear();
  EXPECT_EQ(log.size(), 1U);
}

}  // namespace
}  // namespace trunkline::session
