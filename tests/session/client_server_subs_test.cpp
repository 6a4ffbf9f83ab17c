// SPDX-License-Identifier: Apache-2.0
#include "client_fixture.h"

namespace trunkline::session {
namespace {

class ClientServerSubsTest : public ClientSessionTest {
 protected:
  Lines told() { return std::exchange(log, {}); }

  // Connects, and is answered with these `subs`.
  void connect_with(const std::string& subs) {
    session().connect(now);
    server_opens();
    answer_connect(subs);
  }

  void answer_connect(const std::string& subs) {
    log.clear();
    server_says(fmt::format(R"({{"id":{},"connect":{{"client":"c","version":"v","subs":{}}}}})",
                            sent_id("connect"), subs));
  }

  // The connection breaks and is opened again; what the connect command says.
  std::string reconnect_command() {
    server_closes(1006);
    wait_for_attempt();
    sent.clear();
    server_opens();
    return sent.front();
  }

  static std::string pub(const std::string& channel, int offset) {
    return fmt::format(R"({{"push":{{"channel":"{0}","pub":{{"data":{1},"offset":{1}}}}}}})",
                       channel, offset);
  }

  static constexpr const char* kAtTwo =
      R"({"log":{"recoverable":true,"positioned":true,"epoch":"e","offset":2}})";
};

TEST_F(ClientServerSubsTest, TheConnectReplysChannelsAreToldBehindConnected) {
  connect_with(R"({"a\"b":{"data":{"x":1}},"log":{"recoverable":true,"positioned":true,)"
               R"("epoch":"e","offset":2}})");
  EXPECT_EQ(told(), (Lines{"connected c v", "a\"b subscribed at nowhere", R"(a"b data {"x":1})",
                           "log subscribed at e:2"}));
  server_says(pub("log", 3));
  server_says(R"({"push":{"channel":"a\"b","pub":{"data":9}}})");
  server_says(pub("other", 1));
  EXPECT_EQ(told(), (Lines{"log publication 3 3", "a\"b publication 0 9"}));
}

TEST_F(ClientServerSubsTest, APushBeginsAndEndsOne) {
  connect();
  server_says(R"({"push":{"channel":"log","subscribe":{"recoverable":true,"positioned":true,)"
              R"("epoch":"e","offset":7,"data":[1]}}})");
  server_says(pub("log", 8));
  server_says(R"({"push":{"channel":"log","join":{"info":{"user":"u","client":"c"}}}})");
  server_says(R"({"push":{"channel":"log","leave":{"info":{"user":"u","client":"c"}}}})");
  server_says(R"({"push":{"channel":"log","gap":{"from":9,"to":11}}})");
  server_says(pub("log", 12));
  server_says(R"({"push":{"channel":"log","unsubscribe":{"code":2000,"reason":"over"}}})");
  server_says(pub("log", 13));
  EXPECT_EQ(told(), (Lines{"log subscribed at e:7", "log data [1]", "log publication 8 8",
                           "log join u", "log leave u", "log gap 9 to 11", "log publication 12 12",
                           "log unsubscribed 2000 over"}));
  EXPECT_EQ(reconnect_command().find("subs"), std::string::npos);
}

TEST_F(ClientServerSubsTest, AReconnectSaysWhereTheRecoverableOnesStand) {
  connect_with(R"({"plain":{},"positioned":{"positioned":true,"epoch":"p","offset":1},)" +
               std::string(kAtTwo).substr(1));
  server_says(pub("log", 3));
  const std::string command = reconnect_command();
  EXPECT_NE(command.find(R"("subs":{"log":{"recover":true,"epoch":"e","offset":3}})"),
            std::string::npos)
      << command;
  answer_connect(R"({"log":{"recoverable":true,"positioned":true,"epoch":"e","offset":3,)"
                 R"("recovered":true,"was_recovering":true,)"
                 R"("publications":[{"data":4,"offset":4},{"data":5,"offset":5}]}})");
  server_says(pub("log", 6));
  EXPECT_EQ(told(), (Lines{"connected c v", "plain unsubscribed 5 not granted",
                           "positioned unsubscribed 5 not granted",
                           "log subscribed recovering recovered at e:3", "log publication 4 4",
                           "log publication 5 5", "log publication 6 6"}));
}

TEST_F(ClientServerSubsTest, WhatCouldNotBeRecoveredIsToldAndGoesOnAtTheTop) {
  connect_with(kAtTwo);
  reconnect_command();
  answer_connect(R"({"log":{"recoverable":true,"positioned":true,"epoch":"f","offset":9,)"
                 R"("was_recovering":true}})");
  server_says(pub("log", 10));
  EXPECT_EQ(told(),
            (Lines{"connected c v", "log subscribed recovering at f:9", "log publication 10 10"}));
}

TEST_F(ClientServerSubsTest, OffsetsAreCheckedAndARepeatIsNotDelivered) {
  connect_with(kAtTwo);
  told();
  server_says(pub("log", 2));
  server_says(pub("log", 5));
  server_says(pub("log", 6));
  EXPECT_EQ(told(),
            (Lines{"error log: expected offset 3, got 2", "error log: expected offset 3, got 5",
                   "log publication 5 5", "log publication 6 6"}));
}

TEST_F(ClientServerSubsTest, TheFirstPublicationTellsTheEpochOfANewStream) {
  connect_with(R"({"log":{"recoverable":true,"positioned":true}})");
  server_says(R"({"push":{"channel":"log","pub":{"data":1,"offset":1,"epoch":"new"}}})");
  EXPECT_NE(reconnect_command().find(R"({"log":{"recover":true,"epoch":"new","offset":1}})"),
            std::string::npos);
}

TEST_F(ClientServerSubsTest, AnInvalidatedStateAsksToBeRefused) {
  connect_with(kAtTwo);
  server_closes(3014);
  wait_for_attempt();
  sent.clear();
  server_opens();
  EXPECT_NE(sent.front().find(R"({"log":{"recover":true,"epoch":"_"}})"), std::string::npos);
}

TEST_F(ClientServerSubsTest, DisconnectingInsideAnEventEndsWhatFollowsIt) {
  const std::string subs = R"({"log":{"recoverable":true,"positioned":true,"epoch":"e","offset":1,)"
                           R"("recovered":true,"was_recovering":true,"publications":)"
                           R"([{"data":2,"offset":2},{"data":3,"offset":3}]},"other":{}})";
  for (const std::size_t events : {1U, 2U}) {
    SCOPED_TRACE(events);
    std::size_t seen = 0;
    on_server_each = [&] {
      if (++seen == events) {
        session().disconnect(0, "by the user");
      }
    };
    connect_with(subs);
    EXPECT_EQ(seen, events);
    EXPECT_TRUE(session().is_disconnected());
  }
}

TEST_F(ClientServerSubsTest, AReplyThatIsNoneEndsTheClient) {
  connect_with(R"({"log":{"offset":"x"}})");
  EXPECT_TRUE(session().is_disconnected());
  connect_with(R"([])");
  EXPECT_TRUE(session().is_disconnected());
}

}  // namespace
}  // namespace trunkline::session
