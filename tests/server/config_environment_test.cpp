// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"
#include "server/config_options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace trunkline::server {
namespace {

using std::chrono::seconds;

TEST(ConfigEnvironment, OverridesTheFile) {
  const char* text = R"({"http_server": {"port": 9000, "address": "10.0.0.1"}})";
  const ServerConfig config = good(from_json(text, {{"CENTRIFUGO_HTTP_SERVER_PORT", "9001"}}));
  EXPECT_EQ(config.port, 9001);
  EXPECT_EQ(config.address, "10.0.0.1");
}

TEST(ConfigEnvironment, PrefersOurPrefixInAnyOrder) {
  const std::pair<std::string, std::string> ours{"TRUNKLINE_HTTP_SERVER_PORT", "1"};
  const std::pair<std::string, std::string> theirs{"CENTRIFUGO_HTTP_SERVER_PORT", "2"};
  EXPECT_EQ(good(from_json("{}", {ours, theirs})).port, 1);
  EXPECT_EQ(good(from_json("{}", {theirs, ours})).port, 1);
}

TEST(ConfigEnvironment, IgnoresVariablesOfOthersSilently) {
  const auto loaded =
      from_json("{}", {{"PATH", "/bin"}, {"TRUNKLINE", "x"}, {"MY_TRUNKLINE_A", ""}});
  EXPECT_EQ(picture(good(loaded)), picture(ServerConfig{}));
  EXPECT_EQ(loaded->warnings, std::vector<std::string>{});
}

TEST(ConfigEnvironment, WarnsOfAnUnknownVariableByItsName) {
  const auto loaded =
      from_json("{}", {{"CENTRIFUGO_SSE_ENABLED", "true"}, {"TRUNKLINE_CLIENT_NO_SUCH", "1"}});
  good(loaded);
  std::vector<std::string> warnings = loaded->warnings;
  std::ranges::sort(warnings);
  EXPECT_EQ(warnings, (std::vector<std::string>{
                          "environment variable CENTRIFUGO_SSE_ENABLED: unknown option "
                          "'sse_enabled' is ignored",
                          "environment variable TRUNKLINE_CLIENT_NO_SUCH: unknown option "
                          "'client.no_such' is ignored"}));
}

TEST(ConfigEnvironment, NamesTheVariableWhoseValueIsWrong) {
  EXPECT_EQ(error_of(from_json("{}", {{"CENTRIFUGO_HTTP_SERVER_PORT", "many"}})),
            "environment variable CENTRIFUGO_HTTP_SERVER_PORT: http_server.port: \"many\" is not "
            "an integer from 0 to 65535");
}

TEST(ConfigEnvironment, DoesNotHideATypeErrorOfTheFile) {
  EXPECT_EQ(error_of(from_json(R"({"client": 1})", {{"TRUNKLINE_CLIENT_INSECURE", "true"}})),
            "c.json: client: must be an object with options");
}

TEST(ConfigEnvironment, TakesNamespacesAsJson) {
  const ServerConfig config = good(from_json(
      "{}", {{"CENTRIFUGO_CHANNEL_NAMESPACES", R"([{"name": "aa", "presence": true}])"}}));
  ASSERT_TRUE(config.channel.namespaces.contains("aa"));
  EXPECT_TRUE(config.channel.namespaces.at("aa").presence);
}

TEST(ConfigEnvironment, TakesNamespacesAsNamesAndMembers) {
  const ServerConfig config = good(from_json(
      "{}", {{"CENTRIFUGO_CHANNEL_NAMESPACES_SMALL_HISTORY_SIZE", "2"},
             {"CENTRIFUGO_CHANNEL_NAMESPACES_SMALL_HISTORY_TTL", "300s"},
             {"CENTRIFUGO_CHANNEL_NAMESPACES", "small  chat"},
             {"TRUNKLINE_CHANNEL_NAMESPACES_CHAT_SLOW_SUBSCRIBER_ON_LOST", "disconnect"}}));
  ASSERT_EQ(config.channel.namespaces.size(), 2U);
  EXPECT_EQ(config.channel.namespaces.at("small").history_size, 2U);
  EXPECT_EQ(config.channel.namespaces.at("small").history_ttl, seconds(300));
  EXPECT_EQ(config.channel.namespaces.at("chat").on_lost, session::OnLost::kDisconnect);
}

TEST(ConfigEnvironment, GivesAMemberToTheLongestNamespaceName) {
  const ServerConfig config =
      good(from_json("{}", {{"CENTRIFUGO_CHANNEL_NAMESPACES", "my my_chat my-room"},
                            {"CENTRIFUGO_CHANNEL_NAMESPACES_MY_CHAT_PRESENCE", "true"},
                            {"CENTRIFUGO_CHANNEL_NAMESPACES_MY_ROOM_JOIN_LEAVE", "true"}}));
  EXPECT_TRUE(config.channel.namespaces.at("my_chat").presence);
  EXPECT_TRUE(config.channel.namespaces.at("my-room").join_leave);
}

TEST(ConfigEnvironment, CompletesNamespacesOfTheFile) {
  const ServerConfig config =
      good(from_json(R"({"channel": {"namespaces": [{"name": "aa", "join_leave": true}]}})",
                     {{"TRUNKLINE_CHANNEL_NAMESPACES_AA_PRESENCE", "true"}}));
  EXPECT_TRUE(config.channel.namespaces.at("aa").presence);
  EXPECT_TRUE(config.channel.namespaces.at("aa").join_leave);
}

TEST(ConfigEnvironment, WarnsOfAMemberOfANamespaceThatIsNotThere) {
  const auto loaded = from_json("{}", {{"CENTRIFUGO_CHANNEL_NAMESPACES_AA_PRESENCE", "true"}});
  EXPECT_TRUE(good(loaded).channel.namespaces.empty());
  EXPECT_EQ(loaded->warnings, std::vector<std::string>{
                                  "environment variable CENTRIFUGO_CHANNEL_NAMESPACES_AA_PRESENCE: "
                                  "no such namespace; it is ignored"});
}

TEST(ConfigEnvironment, LeavesNonsenseInTheFilesNamespacesToTheReader) {
  for (const char* list : {"[1]", "[[]]", R"([{"name": 1}])", R"([null])", "{}", "1"}) {
    const std::string text = fmt::format(R"({{"channel": {{"namespaces": {}}}}})", list);
    EXPECT_NE(error_of(from_json(text, {{"TRUNKLINE_CHANNEL_NAMESPACES_AA_PRESENCE", "true"}})),
              "no error")
        << list;
  }
}

TEST(ConfigEnvironment, RefusesNamespacesThatAreBrokenJson) {
  EXPECT_EQ(error_of(from_json("{}", {{"CENTRIFUGO_CHANNEL_NAMESPACES", "[{"}})),
            "environment variable CENTRIFUGO_CHANNEL_NAMESPACES: channel.namespaces: must be a "
            "list of objects");
}

TEST(ConfigEnvironment, TakesAListOfStringsAsJsonToo) {
  const ServerConfig config =
      good(from_json("{}", {{"TRUNKLINE_CLIENT_ALLOWED_ORIGINS", R"(["a b", "c"])"}}));
  EXPECT_EQ(config.client.allowed_origins, (std::vector<std::string>{"a b", "c"}));
}

}  // namespace
}  // namespace trunkline::server
