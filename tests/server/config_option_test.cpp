// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"
#include "server/config_options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

namespace trunkline::server {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

nlohmann::json::json_pointer pointer(std::string_view path) {
  std::string text = "/";
  for (const char letter : path) {
    text += letter == '.' ? '/' : letter;
  }
  return nlohmann::json::json_pointer(text);
}

nlohmann::json typed_value(const Option& option) {
  const std::string value = option.value;
  switch (option.kind) {
    case Kind::kBool:
      return value == "true";
    case Kind::kInteger:
      return std::stoll(value);
    case Kind::kWords: {
      nlohmann::json list = nlohmann::json::array();
      std::istringstream words(value);
      for (std::string word; words >> word;) {
        list.push_back(word);
      }
      return list;
    }
    case Kind::kText:
    case Kind::kTime:
      break;
  }
  return value;
}

// What the option needs beside it to be accepted.
nlohmann::json context_of(std::string_view path) {
  nlohmann::json tree = nlohmann::json::object();
  if (path.ends_with("_recovery") || path.ends_with("history_size") ||
      path.ends_with("history_ttl")) {
    tree["channel"]["without_namespace"] = {{"history_size", 100}, {"history_ttl", "300s"}};
  }
  return tree;
}

std::string variable(std::string_view prefix, std::string_view path) {
  std::string name(prefix);
  for (const char letter : path) {
    name += letter == '.' ? '_' : static_cast<char>(std::toupper(letter));
  }
  return name;
}

class EveryOption : public testing::TestWithParam<Option> {};

TEST_P(EveryOption, IsReadFromAFile) {
  const Option& option = GetParam();
  nlohmann::json tree = context_of(option.path);
  ASSERT_NE(option.show(good(from_json(tree.dump()))), option.value);
  tree[pointer(option.path)] = typed_value(option);
  const Result<LoadedConfig> loaded = from_json(tree.dump());
  EXPECT_EQ(option.show(good(loaded)), option.value);
  EXPECT_EQ(loaded->warnings, std::vector<std::string>{});
}

TEST_P(EveryOption, IsReadFromTheEnvironmentUnderBothPrefixes) {
  const Option& option = GetParam();
  const std::string tree = context_of(option.path).dump();
  for (const std::string_view prefix : {"TRUNKLINE_", "CENTRIFUGO_"}) {
    const auto loaded = from_json(tree, {{variable(prefix, option.path), option.value}});
    EXPECT_EQ(option.show(good(loaded)), option.value) << prefix;
    EXPECT_EQ(loaded->warnings, std::vector<std::string>{}) << prefix;
  }
}

TEST_P(EveryOption, RefusesAValueOfAnotherType) {
  const Option& option = GetParam();
  for (const nlohmann::json& wrong :
       {nlohmann::json{{"a", 1}}, nlohmann::json(1.5), nlohmann::json{{"a"}, {1}}}) {
    nlohmann::json tree = context_of(option.path);
    tree[pointer(option.path)] = wrong;
    EXPECT_TRUE(
        error_of(from_json(tree.dump())).starts_with(fmt::format("c.json: {}: ", option.path)))
        << tree << error_of(from_json(tree.dump()));
  }
}

std::string parameter_name(const testing::TestParamInfo<Option>& info) {
  std::string name = info.param.path;
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Config, EveryOption, testing::ValuesIn(kOptions), parameter_name);

TEST(Config, DefaultsAreClosedAndThoseOfCentrifugo) {
  const ServerConfig config = good(from_json("{}"));
  EXPECT_EQ(config.address, "127.0.0.1");
  EXPECT_EQ(config.port, 8000);
  EXPECT_FALSE(config.client.insecure);
  EXPECT_FALSE(config.http_api.insecure);
  EXPECT_EQ(config.message_size_limit, 65536U);
  EXPECT_EQ(config.shutdown_timeout, seconds(30));
  EXPECT_EQ(config.replay_bytes_max, 256U * 1024 * 1024);
  EXPECT_EQ(config.channel.history_meta_ttl, hours(720));
}

TEST(Durations, AddUpNumbersWithUnits) {
  const std::pair<const char*, Duration> cases[] = {{"0", Duration{0}},
                                                    {"0s", Duration{0}},
                                                    {"300s", seconds(300)},
                                                    {"1h30m", std::chrono::minutes(90)},
                                                    {"250ms", milliseconds(250)},
                                                    {"720h", hours(720)},
                                                    {"1.5s", milliseconds(1500)},
                                                    {".5h", std::chrono::minutes(30)},
                                                    {"7us", std::chrono::microseconds(7)},
                                                    {"7µs", std::chrono::microseconds(7)},
                                                    {"1h1ns", hours(1) + Duration{1}},
                                                    {"2562047h47m16.854775807s", Duration::max()},
                                                    {"2500000h1ns", hours(2500000) + Duration{1}}};
  for (const auto& [text, expected] : cases) {
    const Result<Duration> parsed = parse_duration(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(*parsed, expected) << text;
  }
}

TEST(Durations, AreRefusedWhenTheyAreNot) {
  for (const char* text : {"",
                           " ",
                           "1",
                           "s",
                           "1d",
                           "-1s",
                           "+1s",
                           "1s ",
                           "1 s",
                           "1.s.",
                           ".s",
                           "1..5s",
                           "1e3s",
                           "0x1s",
                           "1sm",
                           "99999999h",
                           "2562048h",
                           "9223372036854775808ns",
                           "99999999999999999999s",
                           "infs",
                           "1h30",
                           "1s\xff"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace trunkline::server
