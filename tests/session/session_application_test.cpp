// SPDX-License-Identifier: Apache-2.0
//
// What the application is asked, when, and what becomes of its answers, however late.
#include "manual_application.h"
#include "session/application.h"
#include "session/session.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

std::unexpected<Refusal> end(std::uint32_t code, std::string message) {
  return std::unexpected(Refusal{code, std::move(message), false, true});
}

TEST_F(SessionApplicationTest, CallsAreAnsweredWhenTheyAreReadyAndDelayNobody) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"rpc":{"method":"slow","data":{"a":1}}})"
                      "\n"
                      R"({"id":3,"rpc":{"method":"fast"}})"
                      "\n"
                      R"({"id":4,"publish":{"channel":"c","data":1}})"),
            R"({"id":4,"publish":{}})");
  ASSERT_EQ(application.calls.size(), 2U);
  EXPECT_EQ(application.calls[0].question.method, "slow");
  EXPECT_EQ(application.calls[0].question.data, R"({"a":1})");
  EXPECT_EQ(application.calls[0].question.caller.client.size(), 36U);
  EXPECT_EQ(application.calls[1].question.data, "");
  application.calls[1].decide(RpcGrant{R"({"b":2})", {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":3,"rpc":{"data":{"b":2}}})");
  application.calls[0].decide(RpcGrant{});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"rpc":{}})");
}

TEST_F(SessionApplicationTest, ACallMayBringAChannelBehindItsReply) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  application.calls[0].decide(RpcGrant{"1", ServerChannel{.channel = "c"}});
  turn();
  const std::string told = peer.take();
  EXPECT_TRUE(
      told.starts_with("{\"id\":2,\"rpc\":{\"data\":1}}\n"
                       R"({"push":{"channel":"c","subscribe":{)"))
      << told;
  EXPECT_EQ(application.channels, std::vector<std::string>{"c"});
}

TEST_F(SessionApplicationTest, ARefusedCallIsAnErrorOrTheEnd) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  application.calls[0].decide(std::unexpected(Refusal{1000, "not today", true}));
  turn();
  EXPECT_EQ(peer.take(),
            R"({"id":2,"error":{"code":1000,"message":"not today","temporary":true}})");
  ask(peer, R"({"id":3,"rpc":{"method":"a"}})");
  application.calls[1].decide(end(4000, "go away"));
  turn();
  EXPECT_EQ(peer.close_code, 4000);
  EXPECT_EQ(peer.reason, "go away");
}

TEST_F(SessionApplicationTest, ADisconnectIsAlwaysACodeOfTheProtocolWithAReason) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  application.calls[0].decide(end(70'000, ""));
  turn();
  EXPECT_EQ(peer.close_code, 4999);
  EXPECT_FALSE(peer.reason.empty());
}

TEST_F(SessionApplicationTest, ALongReasonIsLeftToTheCloseFrameWhichCutsBetweenCharacters) {
  std::string reason = "x";
  while (reason.size() < 200) {
    reason += "é";
  }
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  application.calls[0].decide(end(4000, reason));
  turn();
  EXPECT_EQ(peer.reason, reason);
}

TEST_F(SessionApplicationTest, CallsOnTheirWayAreBounded) {
  options.client.calls_in_flight_max = 2;
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})");
  ask(peer, R"({"id":3,"rpc":{"method":"a"}})");
  const std::string refused =
      R"({"id":4,"error":{"code":111,"message":"too many requests","temporary":true}})";
  EXPECT_EQ(ask(peer, R"({"id":4,"rpc":{"method":"a"}})"), refused);
  application.calls[0].decide(RpcGrant{});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"rpc":{}})");
  EXPECT_EQ(ask(peer, R"({"id":5,"rpc":{"method":"a"}})"), "");
  EXPECT_EQ(application.calls.size(), 3U);
}

TEST_F(SessionApplicationTest, AnswersAfterTheEndGoNowhere) {
  application.on_connect = true;
  Peer& connecting = open();
  ask(connecting, R"({"id":1,"connect":{}})");
  application.on_connect = false;
  Peer& peer = join();
  ask(peer, R"({"id":2,"rpc":{"method":"a"}})"
            "\n"
            R"({"id":3,"subscribe":{"channel":"asked"}})"
            "\n"
            R"({"id":4,"publish":{"channel":"asked","data":1}})");
  connecting.session.reset();
  peer.session.reset();
  application.connects[0].decide(ConnectGrant{});
  application.calls[0].decide(RpcGrant{});
  application.subscribes[0].decide(SubscribeGrant{});
  application.publishes[0].decide(PublishGrant{});
  turn();
  EXPECT_EQ(connecting.take() + peer.take(), "");
  EXPECT_EQ(hub.stats().home.publications, 0U);
}

TEST_F(SessionApplicationTest, ConnectsWhomItLetsIn) {
  application.on_connect = true;
  Peer& peer = open();
  // What comes before the answer waits.
  EXPECT_EQ(ask(peer, R"({"id":1,"connect":{"name":"js","version":"5","data":{"k":1}}})"
                      "\n"
                      R"({"id":2,"subscribe":{"channel":"c"}})"),
            "");
  ASSERT_EQ(application.connects.size(), 1U);
  EXPECT_EQ(application.connects[0].question.name, "js");
  EXPECT_EQ(application.connects[0].question.data, R"({"k":1})");
  EXPECT_FALSE(application.connects[0].question.has_token);
  application.connects[0].decide(
      ConnectGrant{.user = "u1", .info = "", .data = "[1]", .expire_at = {}});
  turn();
  const std::string told = peer.take();
  EXPECT_TRUE(told.contains(R"("data":[1])")) << told;
  EXPECT_TRUE(told.contains(application.connects[0].question.caller.client)) << told;
  EXPECT_TRUE(told.ends_with(R"({"id":2,"subscribe":{}})")) << told;
  EXPECT_EQ(peer.session->user(), "u1");
  peer.session.reset();
  EXPECT_EQ(application.gone, std::vector<std::string>{"u1"});
}

TEST_F(SessionApplicationTest, KeepsOthersOut) {
  application.on_connect = true;
  Peer& error = open();
  ask(error, R"({"id":1,"connect":{}})");
  application.connects[0].decide(refuse(1001, "no"));
  turn();
  EXPECT_EQ(error.take(), R"({"id":1,"error":{"code":1001,"message":"no"}})");
  EXPECT_EQ(error.close_code, 0);
  ask(error, R"({"id":2,"subscribe":{"channel":"c"}})");
  EXPECT_EQ(error.close_code, 3501) << "nothing more is accepted";

  Peer& ended = open();
  ask(ended, R"({"id":1,"connect":{}})");
  application.connects[1].decide(end(4500, "banned"));
  turn();
  EXPECT_EQ(ended.close_code, 4500);
  EXPECT_TRUE(application.gone.empty()) << "nobody had connected";
}

TEST_F(SessionApplicationTest, AnAnswerThatNeverComesEndsAsStale) {
  application.on_connect = true;
  Peer& peer = open();
  ask(peer, R"({"id":1,"connect":{}})");
  pass(options.client.stale_close_delay + seconds(1));
  EXPECT_EQ(peer.close_code, 3502);
}

TEST_F(SessionApplicationTest, SubscribesWhomItLets) {
  options.channel.without_namespace.allow_subscribe_for_anonymous = false;
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"asked","data":{"why":1}}})"), "");
  ASSERT_EQ(application.subscribes.size(), 1U);
  EXPECT_EQ(application.subscribes[0].question.channel, "asked");
  EXPECT_EQ(application.subscribes[0].question.data, R"({"why":1})");
  // Twice is once; what follows waits for it.
  EXPECT_EQ(ask(peer, R"({"id":3,"subscribe":{"channel":"asked"}})"),
            R"({"id":3,"error":{"code":105,"message":"already subscribed"}})");
  EXPECT_EQ(ask(peer, R"({"id":4,"unsubscribe":{"channel":"asked"}})"), "");
  application.subscribes[0].decide(
      SubscribeGrant{.info = "", .data = R"("hello")", .expire_at = {}});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"data":"hello"}})"
                         "\n"
                         R"({"id":4,"unsubscribe":{}})");
}

TEST_F(SessionApplicationTest, ARefusedSubscriptionLeavesNothing) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"asked"}})");
  ask(peer, R"({"id":3,"unsubscribe":{"channel":"asked"}})");
  application.subscribes[0].decide(refuse(403, "no"));
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"error":{"code":403,"message":"no"}})"
                         "\n"
                         R"({"id":3,"unsubscribe":{}})");
  ask(peer, R"({"id":4,"subscribe":{"channel":"asked"}})");
  application.subscribes[1].decide(SubscribeGrant{});
  turn();
  EXPECT_EQ(peer.take(), R"({"id":4,"subscribe":{}})");
  publish("asked", "1");
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"asked","pub":{"data":1}}})");
}

TEST_F(SessionApplicationTest, PublishesWhatItMakesOfIt) {
  Peer& reader = join();
  ask(reader, R"({"id":2,"subscribe":{"channel":"asked"}})");
  application.subscribes[0].decide(SubscribeGrant{});
  turn();
  reader.take();
  Peer& peer = join();
  ask(peer, R"({"id":2,"publish":{"channel":"asked","data":1}})");
  ask(peer, R"({"id":3,"publish":{"channel":"asked","data":2}})");
  ask(peer, R"({"id":4,"publish":{"channel":"asked","data":3}})");
  application.publishes[0].decide(PublishGrant{});
  application.publishes[1].decide(PublishGrant{.data = "20"});
  application.publishes[2].decide(refuse(1002, "bad"));
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"publish":{}})"
                         "\n"
                         R"({"id":3,"publish":{}})"
                         "\n"
                         R"({"id":4,"error":{"code":1002,"message":"bad"}})");
  const std::string seen = reader.take();
  EXPECT_TRUE(seen.contains(R"("data":1)") && seen.contains(R"("data":20)")) << seen;
  EXPECT_FALSE(seen.contains(R"("data":3)")) << seen;
}

TEST_F(SessionApplicationTest, MessagesHaveNoReply) {
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"send":{"data":[7]}})"), "");
  EXPECT_EQ(application.messages, std::vector<std::string>{"[7]"});
  application.on_message = false;
  ask(peer, R"({"send":{"data":[7]}})");
  EXPECT_EQ(peer.close_code, 3508);
}

TEST_F(SessionApplicationTest, IsAskedWhenAConnectionExpires) {
  application.on_refresh = true;
  const WallTime start = environment.now.wall;
  tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = start + seconds(10)};
  Peer& peer = open();
  const std::string told = ask(peer, R"({"id":1,"connect":{"token":"t"}})");
  EXPECT_FALSE(told.contains("expires")) << "its client has nothing to refresh: " << told;
  pass(seconds(9));
  EXPECT_TRUE(application.refreshes.empty());
  pass(seconds(1));
  ASSERT_EQ(application.refreshes.size(), 1U);
  application.refreshes[0].decide(RefreshGrant{.expire_at = start + seconds(20), .info = ""});
  pass(seconds(8));
  EXPECT_EQ(peer.close_code, 0);
  EXPECT_EQ(application.refreshes.size(), 1U);
  pass(seconds(3));
  ASSERT_EQ(application.refreshes.size(), 2U);
  application.refreshes[1].decide(refuse(1, "enough"));
  turn();
  EXPECT_EQ(peer.close_code, 3005);
}

TEST_F(SessionApplicationTest, ARefreshThatIsNotAnsweredEndsWithTheGrace) {
  application.on_refresh = true;
  tokens.connections["t"] = {
      .user = "u", .info = {}, .expire_at = environment.now.wall + seconds(10)};
  Peer& peer = join("t");
  pass(seconds(10));
  pass(options.client.expired_close_delay - seconds(1));
  EXPECT_EQ(peer.close_code, 0);
  EXPECT_EQ(application.refreshes.size(), 1U) << "asked once";
  pass(seconds(2));
  EXPECT_EQ(peer.close_code, 3005);
}

// The token's channels stay whatever else the application decides; commands wait for all of it.
TEST_F(SessionApplicationTest, AConnectThatWasDecidedWaitsForItsServerSideSubscriptions) {
  application.on_connect = true;
  tokens.connections["t"].user = "ann";
  tokens.connections["t"].channels = {{.channel = "snapped"}};
  Peer& peer = open();
  peer.send(R"({"id":1,"connect":{"token":"t"}})");
  peer.send(R"({"id":2,"unsubscribe":{"channel":"a"}})");
  application.connects.front().decide(
      ConnectGrant{.user = "ann", .info = {}, .data = R"({"hello":1})", .expire_at = {}});
  turn();
  EXPECT_EQ(peer.take(), "");
  snapshots.answer(Snapshot{.data = "7", .position = {}});
  turn();
  const std::string told = peer.take();
  EXPECT_NE(told.find(R"("data":{"hello":1},"subs":{"snapped":{"data":7}})"), std::string::npos)
      << told;
  EXPECT_TRUE(told.ends_with("\n{\"id\":2,\"unsubscribe\":{}}")) << told;
}

}  // namespace
}  // namespace trunkline::session
