// SPDX-License-Identifier: Apache-2.0
#include "session/command.h"

#include "ws/frame_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::session {
namespace {

class CommandDecoderTest : public ::testing::Test {
 protected:
  Result<Command> decode(const std::string& line) {
    buffer_ = line + std::string(ws::kMessagePadding, '}');
    return decoder_.decode(std::string_view(buffer_).substr(0, line.size()));
  }

  template <class Body>
  Body body(const std::string& line) {
    const Result<Command> command = decode(line);
    EXPECT_TRUE(command.has_value()) << line << ": " << to_string(command.error());
    if (!command.has_value() || !std::holds_alternative<Body>(command->body)) {
      ADD_FAILURE() << "another body: " << line;
      return Body{};
    }
    return std::get<Body>(command->body);
  }

  std::optional<std::string_view> check(const std::string& text) {
    buffer_ = text + std::string(ws::kMessagePadding, ']');
    return decoder_.check_document(std::string_view(buffer_).substr(0, text.size()));
  }

  CommandDecoder decoder_;
  std::string buffer_;
};

TEST_F(CommandDecoderTest, ReadsEachCommand) {
  EXPECT_EQ(body<ConnectCommand>(R"({"id":1,"connect":{"token":"t","name":"js"}})").token, "t");
  EXPECT_EQ(body<UnsubscribeCommand>(R"({"id":1,"unsubscribe":{"channel":"c"}})").channel, "c");
  EXPECT_EQ(body<PresenceCommand>(R"({"id":1,"presence":{"channel":"c"}})").channel, "c");
  EXPECT_EQ(body<PresenceStatsCommand>(R"({"id":1,"presence_stats":{"channel":"c"}})").channel,
            "c");
  EXPECT_EQ(body<RpcCommand>(R"({"id":1,"rpc":{"method":"m","data":[1]}})").data, "[1]");
  EXPECT_EQ(body<SendCommand>(R"({"send":{"data":{}}})").data, "{}");
  EXPECT_EQ(body<RefreshCommand>(R"({"id":1,"refresh":{"token":"t"}})").token, "t");
  EXPECT_EQ(body<SubRefreshCommand>(R"({"id":1,"sub_refresh":{"channel":"c","token":"t"}})").token,
            "t");
  body<UnsupportedCommand>(R"({"id":1,"ping":{}})");
  body<PongCommand>("{}");
}

TEST_F(CommandDecoderTest, ReadsTheServerSideSubscriptionsOfAConnect) {
  const auto command = body<ConnectCommand>(
      R"({"id":1,"connect":{"subs":{"a\"b":{"recover":true,"epoch":"e","offset":43,"x":[1]},)"
      R"("c":{},"d":null},"token":"t"}})");
  EXPECT_EQ(command.token, "t");
  ASSERT_EQ(command.subs.size(), 3U);
  EXPECT_EQ(command.subs[0].channel, "a\"b");
  EXPECT_TRUE(command.subs[0].recover);
  EXPECT_EQ(command.subs[0].epoch, "e");
  EXPECT_EQ(command.subs[0].offset, 43U);
  EXPECT_EQ(command.subs[1].channel, "c");
  EXPECT_FALSE(command.subs[1].recover);
  EXPECT_EQ(command.subs[2].channel, "d");
  EXPECT_TRUE(body<ConnectCommand>(R"({"id":1,"connect":{"subs":null}})").subs.empty());
  EXPECT_TRUE(body<ConnectCommand>(R"({"id":1,"connect":{}})").subs.empty());
}

TEST_F(CommandDecoderTest, ReadsASubscribeWithRecovery) {
  const auto command = body<SubscribeCommand>(
      R"({"id":2,"subscribe":{"channel":"a\"b","recover":true,"epoch":"e","offset":43,"flag":3}})");
  EXPECT_EQ(command.channel, "a\"b");
  EXPECT_TRUE(command.recover);
  EXPECT_EQ(command.epoch, "e");
  EXPECT_EQ(command.offset, 43U);
  EXPECT_EQ(command.flag, 3);
}

TEST_F(CommandDecoderTest, ReadsAHistoryWithSince) {
  const auto command = body<HistoryCommand>(
      R"({"id":2,"history":{"channel":"c","limit":-1,"since":{"offset":7,"epoch":"x"},"reverse":true}})");
  EXPECT_EQ(command.limit, -1);
  EXPECT_TRUE(command.has_since);
  EXPECT_EQ(command.since_offset, 7U);
  EXPECT_EQ(command.since_epoch, "x");
  EXPECT_TRUE(command.reverse);
}

TEST_F(CommandDecoderTest, KeepsPayloadsAsTheyStand) {
  for (const std::string data :
       {R"({"a": [1, 2.50e3, -0], "b" : null})", R"("text\u00e9\ud83d")", "12345678901234567890123",
        "true", "null", "[]", R"({"deep":{"er":[[[{}]]]}})", "1e400"}) {
    const auto command =
        body<PublishCommand>(R"({"id":1,"publish":{"channel":"c","data": )" + data + " }}");
    EXPECT_EQ(command.data, data);
    const auto first =
        body<PublishCommand>(R"({"id":1,"publish":{"data":)" + data + R"( ,"channel":"c"}})");
    EXPECT_EQ(first.data, data);
    EXPECT_EQ(first.channel, "c");
  }
}

TEST_F(CommandDecoderTest, RefusesPayloadsThatAreNotJson) {
  for (const std::string data : {"{a:1}",
                                 "[1 2]",
                                 "[1,]",
                                 R"({"a":1 "b":2})",
                                 R"({"a":nope})",
                                 "tru",
                                 "01",
                                 "1.",
                                 "-",
                                 "+1",
                                 R"("bad \x escape")",
                                 R"("half \u12")",
                                 "[[1]",
                                 R"({"a"})",
                                 R"({"a":})",
                                 "'x'",
                                 "NaN",
                                 R"({"a":[{"b":tru}]})",
                                 R"(["a":"b"])",
                                 R"({"a":"b":1})",
                                 R"({"\q":1})",
                                 ""}) {
    EXPECT_FALSE(decode(R"({"id":1,"publish":{"channel":"c","data":)" + data + "}}").has_value())
        << data;
    EXPECT_EQ(check(data), std::nullopt) << data;
  }
}

TEST_F(CommandDecoderTest, RefusesPayloadsThatAreNestedTooDeeply) {
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  EXPECT_FALSE(decode(R"({"id":1,"publish":{"data":)" + deep + "}}").has_value());
  EXPECT_EQ(check(deep), std::nullopt);
}

TEST_F(CommandDecoderTest, RefusesWhatIsNotACommand) {
  for (const std::string line :
       {"", " ", "x", "[]", "1", "null", R"({"id":1})", R"({"id":-1,"connect":{}})",
        R"({"id":4294967296,"connect":{}})", R"({"id":"1","connect":{}})",
        R"({"id":1,"connect":{"subs":[]}})", R"({"id":1,"connect":{"subs":{"a":1}}})",
        R"({"id":1,"connect":[]})", R"({"id":1,"connect":{})", R"({"id":1,"connect":{}} x)",
        R"({"id":1,"connect":{}}})", R"({"id":1,"subscribe":{"channel":5}})",
        R"({"id":1,"subscribe":{"recover":1}})", R"({"id":1,"nonsense":{}})"}) {
    EXPECT_FALSE(decode(line).has_value()) << line;
  }
}

TEST_F(CommandDecoderTest, IgnoresUnknownFieldsAndNulls) {
  const auto command = body<SubscribeCommand>(
      R"({"id":1,"new":{"x":[1,2]},"subscribe":{"channel":"c","epoch":null,"later":[{}],"offset":null}})");
  EXPECT_EQ(command.channel, "c");
}

TEST_F(CommandDecoderTest, ChecksDocumentsAndTrimsThem) {
  EXPECT_EQ(check(" {\"a\" : 1}\n"), "{\"a\" : 1}");
  EXPECT_EQ(check("\"x\" "), "\"x\"");
  EXPECT_EQ(check(" 12 "), "12");
  EXPECT_EQ(check("{} {}"), std::nullopt);
  EXPECT_EQ(check("1 2"), std::nullopt);
  EXPECT_EQ(check("\"a\"\"b\""), std::nullopt);
  EXPECT_EQ(check("\xff"), std::nullopt);
}

}  // namespace
}  // namespace trunkline::session
