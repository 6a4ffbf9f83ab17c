// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include "server/config_options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace trunkline::server {
namespace {

// --- formats ----------------------------------------------------------------------------------

constexpr std::string_view kJsonSample = R"({
  "client": {"insecure": true, "ping_interval": "60s", "allowed_origins": ["https://a", "b"],
             "token": {"hmac_secret_key": "0123"}},
  "http_server": {"port": 9000},
  "channel": {"without_namespace": {"history_size": 100, "history_ttl": "300s"},
              "namespaces": [{"name": "chat", "presence": true},
                             {"name": "ticks", "history_size": 1, "history_ttl": "1h30m",
                              "slow_subscriber": {"on_lost": "disconnect"}}]}})";

constexpr std::string_view kTomlSample = R"(
http_server.port = 9000
[client]
insecure = true
ping_interval = "60s"
allowed_origins = ["https://a", "b"]
token.hmac_secret_key = "0123"
[channel.without_namespace]
history_size = 100
history_ttl = "300s"
[[channel.namespaces]]
name = "chat"
presence = true
[[channel.namespaces]]
name = "ticks"
history_size = 1
history_ttl = "1h30m"
slow_subscriber.on_lost = "disconnect"
)";

constexpr std::string_view kYamlSample = R"(
client:
  insecure: true
  ping_interval: 60s
  allowed_origins: [https://a, b]
  token:
    hmac_secret_key: 0123
http_server:
  port: 9000
channel:
  without_namespace:
    history_size: 100
    history_ttl: 300s
  namespaces:
    - name: chat
      presence: true
    - name: ticks
      history_size: 1
      history_ttl: 1h30m
      slow_subscriber: {on_lost: disconnect}
)";

TEST(Config, IsTheSameInThreeFormats) {
  const std::string json = picture(good(from_json(kJsonSample)));
  EXPECT_NE(json, picture(ServerConfig{}));
  EXPECT_EQ(json, picture(good(load_config(kTomlSample, ConfigFormat::kToml, "c.toml"))));
  EXPECT_EQ(json, picture(good(from_yaml(kYamlSample))));
}

TEST(Config, ReadsTheNamespacesOfAFile) {
  const ServerConfig config = good(from_json(kJsonSample));
  ASSERT_EQ(config.channel.namespaces.size(), 2U);
  EXPECT_TRUE(config.channel.namespaces.at("chat").presence);
  EXPECT_EQ(config.channel.namespaces.at("ticks").history_ttl, std::chrono::minutes(90));
  EXPECT_EQ(config.channel.namespaces.at("ticks").on_lost, session::OnLost::kDisconnect);
}

TEST(Config, TakesAYamlScalarForWhatTheOptionIs) {
  EXPECT_EQ(good(from_yaml("http_api: {key: 123}")).http_api.key, "123");
  EXPECT_EQ(good(from_yaml("http_api: {key: true}")).http_api.key, "true");
  EXPECT_EQ(good(from_yaml("http_server: {port: 123}")).port, 123);
  EXPECT_TRUE(good(from_yaml("client: {insecure: True}")).client.insecure);
}

TEST(Config, RefusesQuotedNumbersAndFlags) {
  EXPECT_NE(error_of(from_yaml("http_server: {port: \"123\"}")), "no error");
  EXPECT_NE(error_of(from_json(R"({"http_server": {"port": "123"}})")), "no error");
  EXPECT_NE(error_of(from_json(R"({"client": {"insecure": "true"}})")), "no error");
  EXPECT_NE(error_of(from_json(R"({"client": {"allowed_origins": "a b"}})")), "no error");
  EXPECT_NE(error_of(from_json(R"({"channel": {"namespaces": "[]"}})")), "no error");
}

TEST(Config, TakesAnEmptySectionOrNullAsAbsent) {
  EXPECT_EQ(picture(good(from_yaml("client:\nchannel: ~\n"))), picture(ServerConfig{}));
  EXPECT_EQ(picture(good(from_json(R"({"client": null, "http_server": {"port": null}})"))),
            picture(ServerConfig{}));
  EXPECT_EQ(picture(good(from_yaml(""))), picture(ServerConfig{}));
}

TEST(Config, NamesTheSourceAndTheLineOfASyntaxError) {
  EXPECT_TRUE(error_of(from_json("{\n\"a\": }")).starts_with("c.json: "));
  EXPECT_NE(error_of(from_json("{\n\"a\": }")).find("line 2"), std::string::npos);
  EXPECT_NE(error_of(from_yaml("a: 1\nb: [1")).find("line 2"), std::string::npos);
  const auto toml = load_config("a = 1\nb =\n", ConfigFormat::kToml, "c.toml");
  EXPECT_TRUE(error_of(toml).starts_with("c.toml: line 2"));
}

TEST(Config, RefusesADocumentThatIsNoObject) {
  for (const char* text : {"[]", "1", "\"a\"", "[{\"client\": {}}]"}) {
    EXPECT_EQ(error_of(from_json(text, {{"TRUNKLINE_LOG_LEVEL", "info"}})),
              "c.json: the file: must be an object with options");
  }
  EXPECT_EQ(error_of(from_yaml("- a")), "c.yaml: the file: must be an object with options");
}

TEST(Config, SurvivesAYamlAliasOfItself) {
  EXPECT_NE(error_of(from_yaml("client: &a [*a]")).find("nested too deeply"), std::string::npos);
}

TEST(Config, SurvivesTextThatIsNotUtf8) {
  EXPECT_NE(error_of(from_json("{}", {{"TRUNKLINE_CLIENT_INSECURE", "\xff"}})), "no error");
  EXPECT_NE(error_of(from_yaml("client: {insecure: \"\xff\"}")), "no error");
  EXPECT_NE(error_of(from_json("{\"client\": {\"insecure\": \"\xff\"}}")), "no error");
}

class ConfigFile : public testing::Test {
 protected:
  ConfigFile() {
    folder_ = testing::TempDir() + "trunkline_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }

  ~ConfigFile() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }

  std::string folder_;
};

TEST_F(ConfigFile, TellsTheFormatByItsEnding) {
  const std::string expected = picture(good(from_json(kJsonSample)));
  for (const auto& [name, text] :
       {std::pair{"a.json", kJsonSample}, std::pair{"a.toml", kTomlSample},
        std::pair{"a.yaml", kYamlSample}, std::pair{"a.yml", kYamlSample}}) {
    EXPECT_EQ(picture(good(load_config_file(write(name, text)))), expected) << name;
  }
}

TEST_F(ConfigFile, RefusesAnotherEnding) {
  EXPECT_NE(error_of(load_config_file(write("a.ini", ""))).find("must be .json, .toml, .yaml"),
            std::string::npos);
}

TEST_F(ConfigFile, SaysThatItCannotBeRead) {
  EXPECT_EQ(error_of(load_config_file(folder_ + "/no.json")), folder_ + "/no.json: cannot be read");
}

TEST_F(ConfigFile, IsNamedByItsErrors) {
  const std::string path = write("a.toml", "client.insecure = 1");
  EXPECT_TRUE(error_of(load_config_file(path)).starts_with(path + ": client.insecure: "));
}

// --- errors -----------------------------------------------------------------------------------

struct Refused {
  const char* name;
  const char* text;
  const char* message;  // after "c.json: "
};

class Refuses : public testing::TestWithParam<Refused> {};

TEST_P(Refuses, WithKeyAndReason) {
  EXPECT_EQ(error_of(from_json(GetParam().text)), std::string("c.json: ") + GetParam().message);
}

constexpr Refused kRefused[] = {
    {"Flag", R"({"client": {"insecure": 1}})", "client.insecure: 1 is not true or false"},
    {"Section", R"({"client": 1})", "client: must be an object with options"},
    {"Negative", R"({"client": {"channel_limit": -1}})",
     "client.channel_limit: -1 is not an integer from 1 to 1000000"},
    {"Port", R"({"http_server": {"port": 65536}})",
     "http_server.port: 65536 is not an integer from 0 to 65535"},
    {"Huge", R"({"trunkline": {"shards": 18446744073709551615}})",
     "trunkline.shards: 18446744073709551615 is not an integer from 0 to 1024"},
    {"Secret", R"({"http_api": {"key": 4711}})", "http_api.key: must be a string, not a number"},
    {"Words", R"({"client": {"allowed_origins": ["a", 1]}})",
     "client.allowed_origins: must be a list of strings"},
    {"DurationNumber", R"({"shutdown": {"timeout": 30}})",
     "shutdown.timeout: 30 is not a duration such as \"300s\" or \"1h30m\""},
    {"Duration", R"({"shutdown": {"timeout": "30"}})",
     "shutdown.timeout: \"30\" is not a duration such as \"300s\", \"1h30m\" or \"250ms\""},
    {"Level", R"({"log": {"level": "loud"}})",
     "log.level: must be trace, debug, info, warn, error, fatal or none"},
    {"PongAfterPing", R"({"client": {"pong_timeout": "25s"}})",
     "client.pong_timeout: must be shorter than client.ping_interval"},
    {"PersonalNamespace", R"({"client": {"subscribe_to_user_personal_channel": {
        "enabled": true, "personal_channel_namespace": "own"}}})",
     "client.subscribe_to_user_personal_channel.personal_channel_namespace: there is no namespace "
     "'own'"},
    {"Namespaces", R"({"channel": {"namespaces": {}}})",
     "channel.namespaces: must be a list of objects"},
    {"NamespaceEntry", R"({"channel": {"namespaces": [{"name": "aa"}, 1]}})",
     "channel.namespaces[1]: must be an object with options"},
    {"NamespaceShort", R"({"channel": {"namespaces": [{"name": "a"}]}})",
     "channel.namespaces[0].name: 'a' is not a name: at least two of a-z A-Z 0-9 - _"},
    {"NamespaceLetters", R"({"channel": {"namespaces": [{"name": "a:b"}]}})",
     "channel.namespaces[0].name: 'a:b' is not a name: at least two of a-z A-Z 0-9 - _"},
    {"NamespaceNameless", R"({"channel": {"namespaces": [{}]}})",
     "channel.namespaces[0].name: '' is not a name: at least two of a-z A-Z 0-9 - _"},
    {"NamespaceTwice", R"({"channel": {"namespaces": [{"name": "aa"}, {"name": "aa"}]}})",
     "channel.namespaces[1].name: namespace 'aa' is there twice"},
    {"NamespaceMember",
     R"({"channel": {"namespaces": [{"name": "aa"}, {"name": "bb", "history_ttl": true}]}})",
     "channel.namespaces[1].history_ttl: true is not a duration such as \"300s\" or \"1h30m\""},
    {"SizeWithoutTtl", R"({"channel": {"without_namespace": {"history_size": 1}}})",
     "channel.without_namespace.history_ttl: history needs both history_size and history_ttl "
     "above zero"},
    {"TtlWithoutSize", R"({"channel": {"without_namespace": {"history_ttl": "1s"}}})",
     "channel.without_namespace.history_size: history needs both history_size and history_ttl "
     "above zero"},
    {"RecoveryWithoutHistory", R"({"channel": {"without_namespace": {"force_recovery": true}}})",
     "channel.without_namespace.force_recovery: recovery needs history: set history_size and "
     "history_ttl"},
    {"RecoveryMode", R"({"channel": {"without_namespace": {"force_recovery_mode": "map"}}})",
     "channel.without_namespace.force_recovery_mode: must be \"stream\" or \"cache\""},
    {"OnLost", R"({"channel": {"without_namespace": {"slow_subscriber": {"on_lost": "wait"}}}})",
     "channel.without_namespace.slow_subscriber.on_lost: must be \"resync\", \"disconnect\", "
     "\"skip\" or "
     "\"latest\""},
};

std::string refused_name(const testing::TestParamInfo<Refused>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Config, Refuses, testing::ValuesIn(kRefused), refused_name);

// --- warnings ---------------------------------------------------------------------------------

TEST(Config, WarnsOfUnknownOptionsByTheirOutermostName) {
  const auto loaded = from_json(R"({"poxy": {"a": {"b": 1}}, "client": {"insecure": true, "x": 1},
                                    "channel": {"namespaces": [{"name": "aa", "map": {"y": 1}}]}})");
  EXPECT_TRUE(good(loaded).client.insecure);
  std::vector<std::string> warnings = loaded->warnings;
  std::ranges::sort(warnings);
  EXPECT_EQ(warnings, (std::vector<std::string>{
                          "c.json: unknown option 'channel.namespaces[0].map' is ignored",
                          "c.json: unknown option 'client.x' is ignored",
                          "c.json: unknown option 'poxy' is ignored"}));
}

// A configuration of the shape that the JavaScript SDK's own tests run the server with.
constexpr std::string_view kSdkSample = R"({
  "client": {"insecure": true, "concurrency": 8, "token": {"hmac_secret_key": "secret"}},
  "http_stream": {"enabled": true}, "sse": {"enabled": true},
  "http_api": {"key": "test-api-key"}, "log": {"level": "trace"}, "map_broker": {},
  "shared_poll": {"hmac_secret_key": "test-poll-secret"},
  "proxies": [{"name": "poll_backend", "endpoint": "http://localhost:3010", "timeout": "5s"}],
  "channel": {
    "without_namespace": {"presence": true, "allowed_delta_types": ["fossil"],
                          "delta_publish": true, "history_size": 100, "history_ttl": "300s",
                          "force_recovery": true},
    "namespaces": [
      {"name": "streamless", "subscription_type": "map", "allow_subscribe_for_client": true,
       "map": {"mode": "ephemeral", "key_ttl": "60s"}},
      {"name": "recovery", "history_size": 100, "history_ttl": "300s", "force_recovery": true,
       "allow_subscribe_for_client": true},
      {"name": "smallhistory", "history_size": 2, "history_ttl": "300s", "force_recovery": true,
       "allow_subscribe_for_client": true},
      {"name": "debounced", "client_publish_debounce_interval": "100ms"},
      {"name": "poll", "shared_poll": {"refresh_interval": "200ms"}}]}})";

TEST(Config, LoadsTheSdksConfigurationWithWarningsOnly) {
  const auto loaded = from_json(kSdkSample);
  const ServerConfig config = good(loaded);
  EXPECT_EQ(config.channel.namespaces.size(), 5U);
  EXPECT_TRUE(config.channel.namespaces.at("smallhistory").force_recovery);
  EXPECT_EQ(config.subscription_token.hmac_secret_key, "secret");
  EXPECT_EQ(loaded->warnings.size(), 10U) << fmt::format("{}", fmt::join(loaded->warnings, "\n"));
}

// --- tokens -----------------------------------------------------------------------------------

TEST(Config, VerifiesSubscriptionTokensLikeConnectionTokensUnlessToldOtherwise) {
  const auto load = [](const char* enabled) {
    return good(from_json(fmt::format(
        R"({{"client": {{"token": {{"hmac_secret_key": "one", "issuer": "i"}},
             "subscription_token": {{"enabled": {}, "hmac_secret_key": "two"}}}}}})",
        enabled)));
  };
  EXPECT_EQ(load("false").subscription_token, load("false").token);
  EXPECT_EQ(load("true").subscription_token.hmac_secret_key, "two");
  EXPECT_EQ(load("true").subscription_token.issuer, "");
  EXPECT_EQ(load("true").token.hmac_secret_key, "one");
}

TEST(Config, TakesAnEmptyUserClaimForTheSubject) {
  const char* text = R"({"client": {"token": {"user_id_claim": ""}}})";
  EXPECT_EQ(good(from_json(text)).token.user_id_claim, "sub");
}

}  // namespace
}  // namespace trunkline::server
