// SPDX-License-Identifier: Apache-2.0
#include "session/client_fixture.h"

namespace trunkline::session {
namespace {

TEST_F(ClientSessionTest, DeliversPublicationsInOrder) {
  connect();
  subscribe_recoverable(41);
  server_publishes(42);
  server_publishes(43);
  EXPECT_EQ(listener.log, (Lines{"publication 42 420", "publication 43 430"}));
}

TEST_F(ClientSessionTest, SaysWhatWasExpectedAtAGapAndGoesOn) {
  connect();
  subscribe_recoverable(41);
  server_publishes(44);
  server_publishes(45);
  EXPECT_EQ(listener.log, (Lines{"error 0 room: expected offset 42, got 44", "publication 44 440",
                                 "publication 45 450"}));
}

TEST_F(ClientSessionTest, AGapThatTheServerTellsIsNoDisorder) {
  connect();
  subscribe_recoverable(41);
  server_says(R"({"push":{"channel":"room","gap":{"from":42,"to":43}}})");
  server_publishes(44);
  EXPECT_EQ(listener.log, (Lines{"gap 42 to 43", "publication 44 440"}));
}

TEST_F(ClientSessionTest, ReportsARepeatAndDoesNotDeliverIt) {
  connect();
  subscribe_recoverable(41);
  server_publishes(42);
  server_publishes(42);
  server_publishes(43);
  EXPECT_EQ(listener.log, (Lines{"publication 42 420", "error 0 room: expected offset 43, got 42",
                                 "publication 43 430"}));
}

TEST_F(ClientSessionTest, GoesOnFromTheLastPublicationAfterAReconnect) {
  connect();
  subscribe_recoverable(41);
  server_publishes(42);
  server_closes(1006);
  wait_for_attempt();
  server_opens();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].ends_with(
      R"("subscribe":{"channel":"room","recover":true,"epoch":"e","offset":42}})"))
      << sent[0];
}

TEST_F(ClientSessionTest, EmitsTheRecoveredPublicationsAfterSubscribed) {
  connect();
  subscribe_recoverable(41);
  server_closes(1006);
  reconnect();
  server_says(fmt::format(
      R"({{"id":{},"subscribe":{{"recoverable":true,"epoch":"e","publications":[{{"data":1,"offset":42}},{{"data":2,"offset":43}}],"recovered":true,"offset":41,"positioned":true,"was_recovering":true}}}})",
      sent_id("subscribe")));
  server_publishes(44);
  EXPECT_EQ(listener.log, (Lines{"subscribing 1", "subscribed recovering recovered at e:41",
                                 "publication 42 1", "publication 43 2", "publication 44 440"}));
}

TEST_F(ClientSessionTest, SaysWhenTheServerNoLongerHoldsThePosition) {
  connect();
  subscribe_recoverable(41);
  server_closes(1006);
  reconnect();
  server_says(fmt::format(
      R"({{"id":{},"subscribe":{{"recoverable":true,"epoch":"f","offset":7,"positioned":true,"was_recovering":true}}}})",
      sent_id("subscribe")));
  server_publishes(8);
  EXPECT_EQ(listener.log,
            (Lines{"subscribing 1", "subscribed recovering at f:7", "publication 8 80"}));
}

TEST_F(ClientSessionTest, StartsAtAGivenPosition) {
  connect();
  subscribe("room", {.since = Position{.epoch = "e", .offset = {5}}});
  EXPECT_TRUE(sent.back().ends_with(R"("recover":true,"epoch":"e","offset":5}})")) << sent.back();
}

TEST_F(ClientSessionTest, LearnsTheEpochFromTheFirstPublication) {
  connect();
  subscribe("room");
  server_says(
      fmt::format(R"({{"id":{},"subscribe":{{"recoverable":true}}}})", sent_id("subscribe")));
  server_says(R"({"push":{"channel":"room","pub":{"data":1,"offset":1,"epoch":"new"}}})");
  server_closes(1006);
  sent.clear();
  wait_for_attempt();
  server_opens();
  EXPECT_TRUE(sent.at(0).ends_with(R"("recover":true,"epoch":"new","offset":1}})")) << sent[0];
}

TEST_F(ClientSessionTest, DropsPublicationsAfterUnsubscribe) {
  connect();
  subscribe_recoverable(1);
  session().unsubscribe(SubscriptionId{last_id}, now);
  flush();
  server_publishes(2);
  EXPECT_EQ(sent, Lines{R"({"id":3,"unsubscribe":{"channel":"room"}})"});
  EXPECT_EQ(listener.log, Lines{"unsubscribed 0 unsubscribe called"});
}

TEST_F(ClientSessionTest, IgnoresTheReplyToASubscribeThatWasGivenUp) {
  connect();
  subscribe("room");
  const unsigned stale = sent_id("subscribe");
  session().unsubscribe(SubscriptionId{last_id}, now);
  subscribe("room");
  listener.log.clear();
  server_says(fmt::format(R"({{"id":{},"subscribe":{{}}}})", stale));
  server_publishes(1);
  EXPECT_TRUE(listener.log.empty());
}

TEST_F(ClientSessionTest, UnsubscribesInsideAPublication) {
  connect();
  subscribe_recoverable(1);
  listener.on_each = [this](const Publication&) {
    session().unsubscribe(SubscriptionId{last_id}, now);
  };
  server_says(
      "{\"push\":{\"channel\":\"room\",\"pub\":{\"data\":1,\"offset\":2}}}\n"
      "{\"push\":{\"channel\":\"room\",\"pub\":{\"data\":1,\"offset\":3}}}");
  EXPECT_EQ(listener.log, (Lines{"publication 2 1", "unsubscribed 0 unsubscribe called"}));
}

TEST_F(ClientSessionTest, DisconnectsInsideAPublication) {
  connect();
  subscribe_recoverable(1);
  listener.on_each = [this](const Publication&) { session().disconnect(0, "called"); };
  server_says(
      "{\"push\":{\"channel\":\"room\",\"pub\":{\"data\":1,\"offset\":2}}}\n"
      "{\"push\":{\"channel\":\"room\",\"pub\":{\"data\":1,\"offset\":3}}}");
  EXPECT_EQ(listener.log, (Lines{"publication 2 1", "subscribing 1"}));
  EXPECT_EQ(log, Lines{"disconnected 0 called"});
}

TEST_F(ClientSessionTest, StaysUnsubscribedAfterAPushBelow2500) {
  connect();
  subscribe_recoverable(1);
  server_says(R"({"push":{"channel":"room","unsubscribe":{"code":2000,"reason":"bye"}}})");
  wait(seconds(30));
  EXPECT_EQ(listener.log, Lines{"unsubscribed 2000 bye"});
  EXPECT_EQ(session().subscriptions(), 0U);
}

TEST_F(ClientSessionTest, ResubscribesFromItsPositionAfterAPushFrom2500) {
  connect();
  subscribe_recoverable(9);
  server_says(R"({"push":{"channel":"room","unsubscribe":{"code":2500,"reason":"insufficient"}}})");
  EXPECT_EQ(listener.log, Lines{"subscribing 2500"});
  EXPECT_EQ(
      sent,
      Lines{R"({"id":3,"subscribe":{"channel":"room","recover":true,"epoch":"e","offset":9}})"});
}

TEST_F(ClientSessionTest, WaitsBeforeTheSecondResubscribe) {
  connect();
  subscribe_recoverable(9);
  const auto push = R"({"push":{"channel":"room","unsubscribe":{"code":2500,"reason":"r"}}})";
  server_says(push);
  server_says(R"({"id":3,"subscribe":{"recoverable":true,"epoch":"e","offset":9}})");
  sent.clear();
  server_says(push);
  EXPECT_TRUE(sent.empty());
  wait(seconds(2));
  EXPECT_EQ(sent_id("subscribe"), 4U);
}

TEST_F(ClientSessionTest, ForgetsItsPositionWhenStateIsInvalidated) {
  connect();
  subscribe_recoverable(9);
  server_says(R"({"push":{"channel":"room","unsubscribe":{"code":2502,"reason":"r"}}})");
  EXPECT_EQ(sent, Lines{R"({"id":3,"subscribe":{"channel":"room","recover":true,"epoch":"_"}})"});
}

TEST_F(ClientSessionTest, TriesAgainAfterATemporarySubscribeError) {
  connect();
  subscribe("room");
  server_says(fmt::format(R"({{"id":{},"error":{{"code":111,"message":"slow","temporary":true}}}})",
                          sent_id("subscribe")));
  EXPECT_EQ(listener.log, (Lines{"subscribing 0", "error 111 slow"}));
  sent.clear();
  wait(seconds(2));
  EXPECT_NE(sent_id("subscribe"), 0U);
}

TEST_F(ClientSessionTest, EndsASubscriptionWithAnyOtherError) {
  connect();
  subscribe("room");
  server_says(fmt::format(R"({{"id":{},"error":{{"code":102,"message":"unknown channel"}}}})",
                          sent_id("subscribe")));
  EXPECT_EQ(listener.log, (Lines{"subscribing 0", "unsubscribed 102 unknown channel"}));
}

TEST_F(ClientSessionTest, FetchesASubscriptionTokenBeforeAndAfterItsExpiry) {
  connect();
  subscribe("room", {.has_get_token = true});
  ASSERT_EQ(listener.tickets.size(), 1U);
  session().on_token(listener.tickets[0], std::string("one"), now);
  flush();
  EXPECT_EQ(sent.back(), R"({"id":2,"subscribe":{"channel":"room","token":"one"}})");
  server_says(R"({"id":2,"error":{"code":109,"message":"token expired"}})");
  wait(seconds(2));
  ASSERT_EQ(listener.tickets.size(), 2U);
  session().on_token(listener.tickets[1], std::string("two"), now);
  flush();
  EXPECT_EQ(sent.back(), R"({"id":3,"subscribe":{"channel":"room","token":"two"}})");
}

TEST_F(ClientSessionTest, RefreshesASubscriptionTokenInTime) {
  connect();
  subscribe("room", {.token = "one", .has_get_token = true});
  server_says(R"({"id":2,"subscribe":{"expires":true,"ttl":10}})");
  wait(seconds(10));
  ASSERT_EQ(listener.tickets.size(), 1U);
  session().on_token(listener.tickets[0], std::string("two"), now);
  flush();
  EXPECT_EQ(sent.back(), R"({"id":3,"sub_refresh":{"channel":"room","token":"two"}})");
  server_says(R"({"id":3,"sub_refresh":{"expires":true,"ttl":5}})");
  wait(seconds(5));
  EXPECT_EQ(listener.tickets.size(), 2U);
}

TEST_F(ClientSessionTest, ReconnectsWhenASubscribeIsNotAnswered) {
  connect();
  subscribe("room");
  wait(options.command_timeout);
  EXPECT_EQ(closed, Lines{"subscribe timeout"});
  EXPECT_EQ(log, Lines{"connecting 3"});
}

TEST_F(ClientSessionTest, RefusesASecondSubscriptionToAChannel) {
  connect();
  subscribe_recoverable(1);
  Listener second;
  session().subscribe(SubscriptionId{99}, "room", {}, second, now);
  EXPECT_EQ(second.log, Lines{"unsubscribed 105 already subscribed"});
  server_publishes(2);
  EXPECT_EQ(listener.log, Lines{"publication 2 20"});
}

TEST_F(ClientSessionTest, TellsJoinsAndLeaves) {
  connect();
  subscribe_recoverable(1);
  server_says(R"({"push":{"channel":"room","join":{"info":{"user":"ann","client":"x"}}}})");
  server_says(R"({"push":{"channel":"room","leave":{"info":{"user":"ann","client":"x"}}}})");
  EXPECT_EQ(listener.log, (Lines{"join ann", "leave ann"}));
}

}  // namespace
}  // namespace trunkline::session
