// SPDX-License-Identifier: Apache-2.0
//
// What an application's answers bring besides yes and no, and what it is told of a connection.
#include "manual_application.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

class SessionGrantsTest : public SessionApplicationTest {
 protected:
  // A client whose connect waits for the application.
  Peer& connecting(std::string_view connect = "{}") {
    application.on_connect = true;
    Peer& peer = open();
    peer.send(fmt::format(R"({{"id":1,"connect":{}}})", connect));
    return peer;
  }

  void let_in(ConnectGrant grant) {
    application.connects.back().decide(std::move(grant));
    turn();
  }

  // A subscriber of `asked`, for so many seconds.
  Peer& subscribed_for(seconds time) {
    application.on_sub_refresh = true;
    Peer& peer = join();
    peer.send(R"({"id":2,"subscribe":{"channel":"asked"}})");
    application.subscribes.back().decide(
        SubscribeGrant{.info = "", .data = "", .expire_at = environment.now.wall + time});
    turn();
    EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{}})") << "its client has nothing to refresh";
    return peer;
  }
};

TEST_F(SessionGrantsTest, AConnectMayBringServerSideSubscriptions) {
  Peer& peer = connecting(R"({"subs":{"log:a":{},"other":{"recover":true,"offset":7}}})");
  EXPECT_EQ(application.connects[0].question.channels,
            (std::vector<std::string>{"log:a", "other"}));
  let_in({.user = "u",
          .info = {},
          .data = {},
          .expire_at = {},
          .channels = {{.channel = "log:a"}, {.channel = "news", .data = "[1]"}}});
  const std::string told = peer.take();
  EXPECT_TRUE(told.contains(R"("subs":{"log:a":{)")) << told;
  EXPECT_TRUE(told.contains(R"("news":{"data":[1]})")) << told;
  EXPECT_FALSE(told.contains("other")) << told;
  publish("news", "5");
  turn();
  EXPECT_TRUE(peer.take().contains(R"("data":5)"));
}

TEST_F(SessionGrantsTest, ChannelsOfTheApplicationAreNotTheTokens) {
  tokens.connections["t"] = {
      .user = "u", .info = {}, .expire_at = environment.now.wall + seconds(100)};
  Peer& peer = connecting(R"({"token":"t"})");
  let_in({.user = "u",
          .info = {},
          .data = {},
          .expire_at = environment.now.wall + seconds(100),
          .channels = {{.channel = "news"}}});
  peer.take();
  // A new token that grants what the old one did: nothing.
  EXPECT_TRUE(ask(peer, R"({"id":2,"refresh":{"token":"t"}})").contains(R"("refresh":{)"));
  EXPECT_EQ(peer.close_code, 0);
}

TEST_F(SessionGrantsTest, WhatIsAttachedComesWithLaterQuestions) {
  Peer& peer = connecting();
  EXPECT_EQ(application.connects[0].question.caller.context, nullptr);
  let_in({.user = "u", .info = {}, .data = {}, .expire_at = {}, .meta = R"({"m":1})"});
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  ASSERT_NE(application.calls[0].question.caller.context, nullptr);
  EXPECT_EQ(application.calls[0].question.caller.context->meta, R"({"m":1})");
}

TEST_F(SessionGrantsTest, WhatTheTokenAttachesIsThereFromTheBeginning) {
  tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = {}, .meta = "[2]"};
  connecting(R"({"token":"t"})");
  ASSERT_NE(application.connects[0].question.caller.context, nullptr);
  EXPECT_EQ(application.connects[0].question.caller.context->meta, "[2]");
}

TEST_F(SessionGrantsTest, HeadersAreKnownAsFarAsTheyAreKept) {
  options.client.emulated_headers_kept = {"Authorization", "X-B"};
  peers.push_back(std::make_unique<Peer>(environment, Fields{{"Cookie", "c"}}));
  Peer& peer = *peers.back();
  application.on_connect = true;
  peer.send(
      R"({"id":1,"connect":{"headers":{"authorization":"b \u0041","x-other":"1","x-b":""}}})");
  const auto context = application.connects[0].question.caller.context;
  ASSERT_NE(context, nullptr);
  EXPECT_EQ(context->request_headers, (Fields{{"Cookie", "c"}}));
  EXPECT_EQ(context->emulated_headers, (Fields{{"authorization", "b A"}, {"x-b", ""}}));
}

TEST_F(SessionGrantsTest, HeadersThatAreNoTextAreABadRequest) {
  Peer& peer = open();
  ask(peer, R"({"id":1,"connect":{"headers":{"a":1}}})");
  EXPECT_EQ(peer.close_code, 3501);
}

TEST_F(SessionGrantsTest, APublicationMayBeMarkedAndLeftOutOfTheHistory) {
  Peer& reader = join();
  Peer& peer = join();
  ask(reader, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  options.channel.namespaces["log"].allow_publish_for_anonymous = true;
  application.on_every_publish = true;
  ask(peer, R"({"id":3,"publish":{"channel":"log:a","data":1}})");
  ask(peer, R"({"id":4,"publish":{"channel":"log:a","data":2}})");
  ask(peer, R"({"id":5,"publish":{"channel":"log:a","data":3}})");
  application.publishes[0].decide(
      PublishGrant{.data = {}, .tags = {{"k", "v"}}, .idempotency_key = "once"});
  application.publishes[1].decide(PublishGrant{.data = {}, .idempotency_key = "once"});
  application.publishes[2].decide(PublishGrant{.data = "[3]", .skip_history = true});
  turn();
  const std::string seen = reader.take();
  EXPECT_TRUE(seen.contains(R"("tags":{"k":"v"})")) << seen;
  EXPECT_FALSE(seen.contains(R"("data":2)")) << seen;
  EXPECT_TRUE(seen.contains(R"("data":[3])")) << seen;
  EXPECT_TRUE(ask(reader, R"({"id":6,"history":{"channel":"log:a","limit":10}})")
                  .contains(R"("offset":1})"));
}

// — subscriptions that expire —

TEST_F(SessionGrantsTest, ASubscriptionThatExpiresIsAskedAboutAndGoesOn) {
  Peer& peer = subscribed_for(seconds(10));
  pass(seconds(9));
  EXPECT_TRUE(application.sub_refreshes.empty());
  pass(seconds(1));
  ASSERT_EQ(application.sub_refreshes.size(), 1U);
  EXPECT_EQ(application.sub_refreshes[0].question.channel, "asked");
  pass(seconds(1));
  EXPECT_EQ(application.sub_refreshes.size(), 1U) << "asked once";
  application.sub_refreshes[0].decide(
      SubRefreshGrant{.expire_at = environment.now.wall + seconds(10), .info = "[1]"});
  pass(seconds(9));
  EXPECT_EQ(application.sub_refreshes.size(), 1U);
  pass(seconds(1));
  ASSERT_EQ(application.sub_refreshes.size(), 2U);
  application.sub_refreshes[1].decide(SubRefreshGrant{.expire_at = {}, .info = {}});
  application.on_sub_refresh = false;
  pass(seconds(20));
  EXPECT_FALSE(peer.take().contains("unsubscribe"));
}

TEST_F(SessionGrantsTest, ASubscriptionThatMayNotGoOnEnds) {
  Peer& peer = subscribed_for(seconds(10));
  pass(seconds(10));
  application.sub_refreshes[0].decide(refuse(1, "enough"));
  turn();
  EXPECT_EQ(
      peer.take(),
      R"({"push":{"channel":"asked","unsubscribe":{"code":2501,"reason":"subscription expired"}}})");
}

TEST_F(SessionGrantsTest, ASubscriptionWithoutAnAnswerEndsWithTheGrace) {
  Peer& peer = subscribed_for(seconds(10));
  pass(seconds(10));
  pass(options.client.expired_sub_close_delay + seconds(1));
  EXPECT_TRUE(peer.take().contains(R"("unsubscribe":{"code":2501)"));
  application.sub_refreshes[0].decide(SubRefreshGrant{.expire_at = {}, .info = {}});
}

TEST_F(SessionGrantsTest, AnAnswerForAnEarlierSubscriptionGoesNowhere) {
  Peer& peer = subscribed_for(seconds(10));
  pass(seconds(10));
  ask(peer, R"({"id":3,"unsubscribe":{"channel":"asked"}})");
  ask(peer, R"({"id":4,"subscribe":{"channel":"asked"}})");
  application.subscribes.back().decide(
      SubscribeGrant{.info = "", .data = "", .expire_at = environment.now.wall + seconds(10)});
  turn();
  peer.take();
  application.sub_refreshes[0].decide(refuse(1, "enough"));
  turn();
  EXPECT_EQ(peer.take(), "");
}

TEST_F(SessionGrantsTest, AServerSideOneThatMayNotGoOnEndsTheConnection) {
  application.on_sub_refresh = true;
  Peer& peer = connecting();
  let_in({.user = "u",
          .info = {},
          .data = {},
          .expire_at = {},
          .channels = {{.channel = "asked", .expire_at = environment.now.wall + seconds(10)}}});
  pass(seconds(10));
  ASSERT_EQ(application.sub_refreshes.size(), 1U);
  application.sub_refreshes[0].decide(refuse(1, "enough"));
  turn();
  EXPECT_EQ(peer.close_code, 3006);
}

// — those who have gone —

TEST_F(SessionGrantsTest, AClientThatGoesIsForgottenOnce) {
  Peer& peer = join();
  Peer& asked_nothing = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  asked_nothing.session.reset();
  EXPECT_TRUE(application.forgotten.empty());
  const std::string client = peer.session->client();
  peer.session->disconnect(kDisconnectForce);
  peer.session.reset();
  EXPECT_EQ(application.forgotten, std::vector<std::string>{client});
}

TEST_F(SessionGrantsTest, AClientThatGoesBeforeItIsLetInIsForgotten) {
  Peer& peer = connecting();
  peer.session.reset();
  EXPECT_EQ(application.forgotten.size(), 1U);
  EXPECT_TRUE(application.gone.empty());
}

}  // namespace
}  // namespace trunkline::session
