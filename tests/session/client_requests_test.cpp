// SPDX-License-Identifier: Apache-2.0
#include "session/client_fixture.h"

namespace trunkline::session {
namespace {

TEST_F(ClientSessionTest, HandsOnMessages) {
  connect();
  server_says(R"({"push":{"message":{"data":{"x":[1,2]}}}})");
  EXPECT_EQ(log, Lines{R"(message {"x":[1,2]})"});
}

TEST_F(ClientSessionTest, AnswersCommandsByTheirIds) {
  connect();
  Lines first;
  Lines second;
  session().publish("a", "1", expect_one(first), now);
  session().publish("b", "2", expect_one(second), now);
  flush();
  EXPECT_EQ(sent.back(),
            "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
            "{\"id\":3,\"publish\":{\"channel\":\"b\",\"data\":2}}");
  server_says(R"({"id":3,"publish":{}})");
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(second, Lines{"ok"});
  server_says(R"({"id":2,"error":{"code":103,"message":"no"}})");
  EXPECT_EQ(first, Lines{"permission_denied"});
}

TEST_F(ClientSessionTest, GivesTheServersCodeMessageAndHint) {
  connect();
  ClientError seen;
  session().publish(
      "a", "1", [&seen](const ClientResult<void>& result) { seen = result.error(); }, now);
  server_says(R"({"id":2,"error":{"code":1234,"message":"custom","temporary":true}})");
  EXPECT_EQ(seen.protocol_code, 1234U);
  EXPECT_EQ(seen.context, "custom");
  EXPECT_TRUE(seen.is_temporary);
}

TEST_F(ClientSessionTest, EndsACommandThatIsNotAnswered) {
  connect();
  Lines results;
  session().publish("a", "1", expect_one(results), now);
  wait(options.command_timeout);
  server_says(R"({"id":2,"publish":{}})");
  EXPECT_EQ(results, Lines{"timeout"});
}

TEST_F(ClientSessionTest, EndsSentCommandsWhenTheConnectionIsLost) {
  connect();
  Lines results;
  session().publish("a", "1", expect_one(results), now);
  flush();
  server_closes(1006);
  EXPECT_EQ(results, Lines{"closed"});
}

TEST_F(ClientSessionTest, KeepsCommandsForTheConnectionToCome) {
  Lines results;
  session().connect(now);
  session().publish("a", "1", expect_one(results), now);
  server_opens();
  EXPECT_EQ(sent_id("publish"), 0U);
  server_says(fmt::format(R"({{"id":{},"connect":{{"client":"c"}}}})", sent_id("connect")));
  EXPECT_EQ(sent.back(), R"({"id":1,"publish":{"channel":"a","data":1}})");
  server_says(R"({"id":1,"publish":{}})");
  EXPECT_EQ(results, Lines{"ok"});
}

TEST_F(ClientSessionTest, RefusesCommandsWhileDisconnected) {
  Lines results;
  session().publish("a", "1", expect_one(results), now);
  EXPECT_EQ(results, Lines{"closed"});
}

TEST_F(ClientSessionTest, DisconnectEndsWaitingCommands) {
  Lines results;
  session().connect(now);
  session().publish("a", "1", expect_one(results), now);
  session().disconnect(0, "called");
  EXPECT_EQ(results, Lines{"closed"});
  EXPECT_EQ(closed, Lines{"called"});
}

TEST_F(ClientSessionTest, LimitsTheCommandsWithoutAReply) {
  options.pending_commands_max = 2;
  connect();
  Lines results;
  for (int i = 0; i < 3; ++i) {
    session().publish("a", "1", expect_one(results), now);
  }
  EXPECT_EQ(results, Lines{"limit_exceeded"});
}

TEST_F(ClientSessionTest, LimitsTheBytesThatWaitForTheSocket) {
  connect();
  unsent = options.unsent_bytes_max + 1;
  Lines results;
  session().publish("a", "1", expect_one(results), now);
  EXPECT_EQ(results, Lines{"limit_exceeded"});
}

TEST_F(ClientSessionTest, RefusesDataThatIsNotJson) {
  connect();
  sent.clear();
  Lines results;
  session().publish("a", "{\"x\":", expect_one(results), now);
  session().publish("a", "1}}\n{\"id\":9", expect_one(results), now);
  flush();
  EXPECT_EQ(results, (Lines{"malformed", "malformed"}));
  EXPECT_TRUE(sent.empty());
}

TEST_F(ClientSessionTest, TakesLineFeedsOutOfData) {
  connect();
  sent.clear();
  Lines results;
  session().publish("a", "{\n\"x\":\r\n1}", expect_one(results), now);
  flush();
  EXPECT_EQ(sent, Lines{R"({"id":2,"publish":{"channel":"a","data":{ "x":  1}}})"});
}

TEST_F(ClientSessionTest, SplitsALargeBatchIntoSeveralMessages) {
  connect();
  sent.clear();
  const std::string data = '"' + std::string(10'000, 'x') + '"';
  Lines results;
  for (int i = 0; i < 4; ++i) {
    session().publish("a", data, expect_one(results), now);
  }
  flush();
  EXPECT_EQ(sent.size(), 4U);
}

TEST_F(ClientSessionTest, ReadsHistory) {
  connect();
  std::string seen;
  session().history(
      "a", {.limit = -1, .since = Position{.epoch = "e", .offset = {3}}},
      [&seen](const ClientResult<HistoryResult>& result) {
        seen =
            fmt::format("{} {} {}:{}", result->publications.size(), result->publications.at(1).data,
                        result->position.epoch, result->position.offset.value);
      },
      now);
  flush();
  EXPECT_EQ(sent.back(),
            R"({"id":2,"history":{"channel":"a","limit":-1,"since":{"offset":3,"epoch":"e"}}})");
  server_says(
      R"({"id":2,"history":{"publications":[{"data":{},"offset":4},{"data":[5],"offset":5}],"epoch":"e","offset":5}})");
  EXPECT_EQ(seen, "2 [5] e:5");
}

TEST_F(ClientSessionTest, ReadsPresence) {
  connect();
  std::string seen;
  session().presence(
      "a",
      [&seen](const ClientResult<PresenceResult>& result) {
        for (const ClientInfo& info : result->clients) {
          seen += fmt::format("{}/{}/{} ", info.user, info.client, info.conn_info);
        }
      },
      now);
  session().presence_stats(
      "a",
      [&seen](const ClientResult<PresenceStats>& result) {
        seen += fmt::format("{} {}", result->clients, result->users);
      },
      now);
  server_says(
      R"({"id":2,"presence":{"presence":{"x":{"user":"ann","client":"x","conn_info":{"n":1}}}}})");
  server_says(R"({"id":3,"presence_stats":{"num_clients":2,"num_users":1}})");
  EXPECT_EQ(seen, R"(ann/x/{"n":1} 2 1)");
}

TEST_F(ClientSessionTest, CallsRpcMethods) {
  connect();
  std::string seen;
  session().rpc(
      "sum", "[1,2]", [&seen](const ClientResult<RpcResult>& result) { seen = result->data; }, now);
  flush();
  EXPECT_EQ(sent.back(), R"({"id":2,"rpc":{"data":[1,2],"method":"sum"}})");
  server_says(R"({"id":2,"rpc":{"data":3}})");
  EXPECT_EQ(seen, "3");
}

TEST_F(ClientSessionTest, EscapesChannelNames) {
  connect();
  Lines results;
  session().publish("a\"\n\\", "1", expect_one(results), now);
  flush();
  EXPECT_EQ(sent.back(), R"({"id":2,"publish":{"channel":"a\"\u000a\\","data":1}})");
}

TEST_F(ClientSessionTest, PublicationsCarryTheirPublisherTagsAndTime) {
  connect();
  subscribe_recoverable(1);
  std::string seen;
  listener.on_each = [&seen](const Publication& publication) {
    seen = fmt::format("{} {} {} {}", publication.publisher->user, publication.publisher->client,
                       publication.tags, publication.time_ms);
  };
  server_says(
      R"({"push":{"channel":"room","pub":{"data":"x","info":{"user":"u\"1","client":"c"},"offset":2,"tags":{"k":"v"},"time":1700000000000}}})");
  EXPECT_EQ(seen, R"(u"1 c {"k":"v"} 1700000000000)");
}

}  // namespace
}  // namespace trunkline::session
