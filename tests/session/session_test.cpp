// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"

#include "session_fixture.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

TEST_F(SessionTest, ResultObjectIsThereEvenIfEmpty) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"a"}})"), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(ask(peer, R"({"id":3,"publish":{"channel":"a","data":1}})"),
            "{\"id\":3,\"publish\":{}}\n"
            R"({"push":{"channel":"a","pub":{"data":1,"info":{"user":"","client":")" +
                peer.session->client() + R"("}}}})");
  EXPECT_EQ(ask(peer, R"({"id":4,"unsubscribe":{"channel":"a"}})"), R"({"id":4,"unsubscribe":{}})");
}

TEST_F(SessionTest, ConnectSaysClientVersionAndPingTimes) {
  Peer& peer = open();
  const std::string reply = ask(peer, R"({"id":1,"connect":{}})");
  EXPECT_EQ(peer.session->client().size(), 36U);
  EXPECT_EQ(reply, R"({"id":1,"connect":{"client":")" + peer.session->client() +
                       R"(","version":"test","ping":25,"pong":true}})");
}

TEST_F(SessionTest, EveryCloseHasAReasonThatFitsAndIsNotJson) {
  for (const Disconnect& why : {kDisconnectClosed,
                                kDisconnectShutdown,
                                kDisconnectServerError,
                                kDisconnectExpired,
                                kDisconnectSubscriptionExpired,
                                kDisconnectSlow,
                                kDisconnectWriteError,
                                kDisconnectInsufficientState,
                                kDisconnectForceReconnect,
                                kDisconnectNoPong,
                                kDisconnectTooManyRequests,
                                kDisconnectInvalidToken,
                                kDisconnectBadRequest,
                                kDisconnectStale,
                                kDisconnectForce,
                                kDisconnectConnectionLimit,
                                kDisconnectChannelLimit,
                                kDisconnectInappropriateProtocol,
                                kDisconnectPermissionDenied,
                                kDisconnectNotAvailable}) {
    Peer& peer = join();
    peer.session->disconnect(why);
    EXPECT_EQ(peer.close_code, why.code);
    EXPECT_FALSE(peer.reason.empty());
    EXPECT_LT(peer.reason.size(), 124U);
    EXPECT_NE(peer.reason.front(), '{');
  }
}

TEST_F(SessionTest, AfterAnErrorReplyToConnectNothingElseIsAccepted) {
  tokens.connections["old"] = {.user = "u", .info = {}, .expire_at = environment.now.wall};
  Peer& peer = open();
  EXPECT_EQ(ask(peer, R"({"id":1,"connect":{"token":"old"}})"),
            R"({"id":1,"error":{"code":109,"message":"token expired"}})");
  EXPECT_EQ(peer.close_code, 0);
  EXPECT_EQ(ask(peer, R"({"id":2,"connect":{}})"), "");
  EXPECT_EQ(peer.close_code, 3501);
}

TEST_F(SessionTest, AfterAnErrorReplyToConnectTheStaleTimerStillRuns) {
  tokens.connections["old"] = {.user = "u", .info = {}, .expire_at = environment.now.wall};
  Peer& peer = open();
  ask(peer, R"({"id":1,"connect":{"token":"old"}})");
  pass(seconds(10));
  EXPECT_EQ(peer.close_code, 3502);
}

TEST_F(SessionTest, TheCommandsNobodyMayUseEndTheConversation) {
  for (const char* command :
       {R"({"id":2,"ping":{}})", R"({"id":2,"nonsense":{}})", R"({"id":2})", R"({"connect":{}})",
        R"({"subscribe":{"channel":"a"}})", R"({"id":2,"subscribe":{}})",
        R"({"id":2,"unsubscribe":{}})", R"({"id":2,"publish":{"data":1}})",
        R"({"id":2,"history":{}})", R"({"id":2,"presence":{}})", R"({"id":2,"connect":{}})",
        R"({"id":2,"refresh":{"token":"t"}})", R"({"id":2,"sub_refresh":{}})", "{}", "nonsense",
        "[]", "", "\n", R"({"id":2,"subscribe":{"channel":"a","delta":"other"}})"}) {
    SCOPED_TRACE(command);
    Peer& peer = join();
    EXPECT_EQ(ask(peer, command), "");
    EXPECT_EQ(peer.close_code, 3501);
  }
}

TEST_F(SessionTest, OnlyConnectMayComeFirst) {
  for (const char* command : {"{}", R"({"id":1,"subscribe":{"channel":"a"}})",
                              R"({"id":1,"refresh":{"token":"t"}})", R"({"send":{"data":1}})"}) {
    SCOPED_TRACE(command);
    Peer& peer = open();
    EXPECT_EQ(ask(peer, command), "");
    EXPECT_EQ(peer.close_code, 3501);
  }
}

TEST_F(SessionTest, RpcWithoutAnyHandlerIsNotAvailable) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"rpc":{"method":"m","data":{}}})"),
            R"({"id":2,"error":{"code":108,"message":"not available"}})");
}

TEST_F(SessionTest, SendWithoutAHandlerEndsTheConversation) {
  Peer& peer = join();
  ask(peer, R"({"send":{"data":1}})");
  EXPECT_EQ(peer.close_code, 3508);
}

TEST_F(SessionTest, UnsubscribeFromAChannelNotSubscribedToSucceeds) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"unsubscribe":{"channel":"never"}})"),
            R"({"id":2,"unsubscribe":{}})");
}

TEST_F(SessionTest, NothingOfAChannelFollowsItsUnsubscribeReply) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  publish("log:a", "1");
  peer.send(R"({"id":3,"unsubscribe":{"channel":"log:a"}})");
  publish("log:a", "2");
  turn();
  EXPECT_EQ(peer.take(), R"({"id":3,"unsubscribe":{}})");
}

TEST_F(SessionTest, RepliesOfOneMessageAreOneMessageAndKeepTheirOrder) {
  Peer& peer = join();
  const int before = peer.messages;
  EXPECT_EQ(ask(peer,
                "{\"id\":2,\"rpc\":{}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"x\"}}\n"
                "{\"id\":4,\"rpc\":{}}\n"),
            "{\"id\":2,\"error\":{\"code\":108,\"message\":\"not available\"}}\n"
            "{\"id\":3,\"unsubscribe\":{}}\n"
            R"({"id":4,"error":{"code":108,"message":"not available"}})");
  EXPECT_EQ(peer.messages, before + 1);
}

TEST_F(SessionTest, WhatWasAnsweredBeforeABadCommandIsSent) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, "{\"id\":2,\"rpc\":{}}\nnonsense\n{\"id\":3,\"rpc\":{}}"),
            R"({"id":2,"error":{"code":108,"message":"not available"}})");
  EXPECT_EQ(peer.close_code, 3501);
}

// — tokens —

TEST_F(SessionTest, AnInvalidTokenEndsTheConversation) {
  Peer& peer = open();
  EXPECT_EQ(ask(peer, R"({"id":1,"connect":{"token":"forged"}})"), "");
  EXPECT_EQ(peer.close_code, 3500);
}

TEST_F(SessionTest, WithoutATokenSomebodyMustHaveAllowedIt) {
  options.client.allow_anonymous_connect_without_token = false;
  Peer& peer = open();
  ask(peer, R"({"id":1,"connect":{}})");
  EXPECT_EQ(peer.close_code, 3501);
}

TEST_F(SessionTest, AnAnonymousTokenMayBeForbidden) {
  tokens.connections["nobody"] = {};
  options.client.disallow_anonymous_connection_tokens = true;
  Peer& peer = open();
  ask(peer, R"({"id":1,"connect":{"token":"nobody"}})");
  EXPECT_EQ(peer.close_code, 3507);
}

TEST_F(SessionTest, AnExpiringTokenSaysItsTimeAndIsEnforcedAfterTheGrace) {
  tokens.connections["t"] = {
      .user = "u", .info = {}, .expire_at = environment.now.wall + seconds(60)};
  options.client.ping_interval = Duration{0};
  Peer& peer = open();
  EXPECT_NE(ask(peer, R"({"id":1,"connect":{"token":"t"}})").find(R"("expires":true,"ttl":60)"),
            std::string::npos);
  pass(seconds(84));
  EXPECT_EQ(peer.close_code, 0);
  pass(seconds(2));
  EXPECT_EQ(peer.close_code, 3005);
}

// Times behind the year 2262 do not fit nanoseconds since 1970: they were taken for the past.
TEST_F(SessionTest, ATokenThatExpiresInTheFarFutureDoesNotExpireNow) {
  for (const std::int64_t when : {9'999'999'999LL, 32'503'680'000LL, 9'000'000'000'000LL}) {
    SCOPED_TRACE(when);
    const WallTime expire_at{seconds(when)};
    tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = expire_at};
    tokens.subscriptions["s"] = {
        .user = "u", .channel = "$a", .client = {}, .info = {}, .expire_at = expire_at};
    Peer& peer = join("t");
    const std::string reply = ask(peer, R"({"id":2,"subscribe":{"channel":"$a","token":"s"}})");
    EXPECT_TRUE(reply.starts_with(R"({"id":2,"subscribe":{"expires":true,"ttl":)")) << reply;
    pass(seconds(26));
    EXPECT_EQ(peer.close_code, 0);
    EXPECT_EQ(peer.take(), "{}");
    peer.session.reset();
    peers.clear();
    const auto wakeup = timers.next_wakeup();
    EXPECT_TRUE(!wakeup.has_value() || *wakeup > environment.now.monotonic);
  }
}

TEST_F(SessionTest, RefreshMovesTheEnd) {
  tokens.connections["t"] = {
      .user = "u", .info = {}, .expire_at = environment.now.wall + seconds(60)};
  tokens.connections["later"] = {
      .user = "u", .info = {}, .expire_at = environment.now.wall + seconds(600)};
  options.client.ping_interval = Duration{0};
  Peer& peer = join("t");
  EXPECT_NE(ask(peer, R"({"id":2,"refresh":{"token":"later"}})").find(R"("ttl":600)"),
            std::string::npos);
  pass(seconds(120));
  EXPECT_EQ(peer.close_code, 0);
}

TEST_F(SessionTest, RefreshWithAnotherUsersTokenEndsTheConversation) {
  const WallTime later = environment.now.wall + seconds(60);
  tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = later};
  tokens.connections["other"] = {.user = "v", .info = {}, .expire_at = later};
  Peer& peer = join("t");
  ask(peer, R"({"id":2,"refresh":{"token":"other"}})");
  EXPECT_EQ(peer.close_code, 3500);
}

TEST_F(SessionTest, PrivateChannelsNeedATokenEvenInInsecureMode) {
  options.client.insecure = true;
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"$a"}})"),
            R"({"id":2,"error":{"code":103,"message":"permission denied"}})");
}

TEST_F(SessionTest, AnUnknownNamespaceIsAnUnknownChannel) {
  options.client.insecure = true;
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"none:a"}})"),
            R"({"id":2,"error":{"code":102,"message":"unknown channel"}})");
}

TEST_F(SessionTest, ASubscriptionTokenMustFitUserChannelAndClient) {
  tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = {}};

  struct Case {
    SubscriptionClaims claims;
    int close_code;
  };

  const Case cases[] = {
      {{.user = "u", .channel = "$a", .client = {}, .info = {}, .expire_at = {}}, 0},
      {{.user = "v", .channel = "$a", .client = {}, .info = {}, .expire_at = {}}, 3500},
      {{.user = "", .channel = "$a", .client = {}, .info = {}, .expire_at = {}}, 3500},
      {{.user = "u", .channel = "$b", .client = {}, .info = {}, .expire_at = {}}, 3500},
      {{.user = "u", .channel = "$a", .client = "me", .info = {}, .expire_at = {}}, 3500},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.claims.user + one.claims.channel + one.claims.client);
    tokens.subscriptions["s"] = one.claims;
    Peer& peer = join("t");
    const std::string reply = ask(peer, R"({"id":2,"subscribe":{"channel":"$a","token":"s"}})");
    EXPECT_EQ(peer.close_code, one.close_code);
    EXPECT_EQ(reply, one.close_code == 0 ? R"({"id":2,"subscribe":{}})" : "");
  }
}

TEST_F(SessionTest, AnExpiredSubscriptionTokenIsAnErrorAndABadOneIsDenied) {
  tokens.subscriptions["old"] = {
      .user = {}, .channel = "$a", .client = {}, .info = {}, .expire_at = environment.now.wall};
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"$a","token":"old"}})"),
            R"({"id":2,"error":{"code":109,"message":"token expired"}})");
  EXPECT_EQ(ask(peer, R"({"id":3,"subscribe":{"channel":"$a","token":"forged"}})"),
            R"({"id":3,"error":{"code":103,"message":"permission denied"}})");
}

TEST_F(SessionTest, AnExpiredSubscriptionEndsByPushUnlessItIsRefreshed) {
  for (const bool refresh : {false, true}) {
    tokens.subscriptions["s"] = {.user = {},
                                 .channel = "$a",
                                 .client = {},
                                 .info = {},
                                 .expire_at = environment.now.wall + seconds(60)};
    tokens.subscriptions["later"] = tokens.subscriptions["s"];
    tokens.subscriptions["later"].expire_at = environment.now.wall + seconds(600);
    options.client.ping_interval = Duration{0};
    Peer& peer = join();
    ask(peer, R"({"id":2,"subscribe":{"channel":"$a","token":"s"}})");
    if (refresh) {
      EXPECT_EQ(ask(peer, R"({"id":3,"sub_refresh":{"channel":"$a","token":"later"}})"),
                R"({"id":3,"sub_refresh":{"expires":true,"ttl":600}})");
    }
    pass(seconds(86));
    EXPECT_EQ(peer.take(), refresh ? ""
                                   : R"({"push":{"channel":"$a","unsubscribe":{"code":2501,)"
                                     R"("reason":"subscription expired"}}})");
    EXPECT_EQ(peer.close_code, 0);
  }
}

// — time —

TEST_F(SessionTest, WithoutAConnectItIsStale) {
  Peer& peer = open();
  pass(seconds(9));
  EXPECT_EQ(peer.close_code, 0);
  pass(seconds(1));
  EXPECT_EQ(peer.close_code, 3502);
}

TEST_F(SessionTest, OnePongPerPingAndAnUnexpectedOneIsABadRequest) {
  Peer& peer = join();
  for (int i = 0; i < 3; ++i) {
    pass(seconds(25));
    EXPECT_EQ(peer.take(), "{}");
    EXPECT_EQ(ask(peer, "{}"), "");
    EXPECT_EQ(peer.close_code, 0);
  }
  ask(peer, "{}");
  EXPECT_EQ(peer.close_code, 3501);
}

TEST_F(SessionTest, APingWithoutAPongEndsTheConversation) {
  Peer& peer = join();
  pass(seconds(25));
  EXPECT_EQ(peer.take(), "{}");
  pass(seconds(7));
  EXPECT_EQ(peer.close_code, 0);
  pass(seconds(2));
  EXPECT_EQ(peer.close_code, 3012);
}

TEST_F(SessionTest, NativePingsAreAnsweredByNativePongs) {
  Peer& peer = open();
  peer.native_pings = true;
  EXPECT_EQ(ask(peer, R"({"id":1,"connect":{}})").find("\"ping\""), std::string::npos);
  pass(seconds(25));
  EXPECT_EQ(peer.pings, 1);
  EXPECT_EQ(peer.take(), "");
  peer.session->on_native_pong();
  peer.session->on_native_pong();
  pass(seconds(9));
  EXPECT_EQ(peer.close_code, 0);
}

TEST_F(SessionTest, ANativePongDoesNotAnswerAProtocolPing) {
  Peer& peer = join();
  pass(seconds(25));
  peer.session->on_native_pong();
  pass(seconds(9));
  EXPECT_EQ(peer.close_code, 3012);
}

}  // namespace
}  // namespace trunkline::session
