// SPDX-License-Identifier: Apache-2.0
#include "server/api_params.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::server {
namespace {

TEST(ApiParams, ReadsEachType) {
  ApiParams params(
      R"({"s":"a\u0062","f":true,"i":-5,"l":["a","b"],"m":{"k":"v"},"data":{"x":1.0}})");
  EXPECT_EQ(params.text("s"), "ab");
  EXPECT_TRUE(params.flag("f"));
  EXPECT_EQ(params.integer("i"), -5);
  EXPECT_EQ(params.texts("l"), (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(params.text_map("m").size(), 1U);
  EXPECT_EQ(params.text_map("m").front().second, "v");
  ASSERT_NE(params.raw("data"), nullptr);
  EXPECT_EQ(*params.raw("data"), R"({"x":1.0})");
  EXPECT_FALSE(params.error().has_value());
}

TEST(ApiParams, AbsentAndNullAreTheSameExceptForData) {
  for (const char* text : {"{}", R"({"a":null})"}) {
    ApiParams params(text);
    EXPECT_EQ(params.text("a"), "");
    EXPECT_FALSE(params.flag("a"));
    EXPECT_EQ(params.integer("a"), 0);
    EXPECT_TRUE(params.texts("a").empty());
    EXPECT_TRUE(params.text_map("a").empty());
    EXPECT_EQ(params.raw("a"), nullptr);
    EXPECT_FALSE(params.error().has_value());
  }
  ApiParams params(R"({"data":null})");
  ASSERT_NE(params.raw("data"), nullptr);
  EXPECT_EQ(*params.raw("data"), "null");
}

TEST(ApiParams, AValueOfAnotherTypeIsNamedWithWhatIsWanted) {
  struct Case {
    const char* value;
    void (*read)(ApiParams&);
    const char* message;
  };

  const auto text = [](ApiParams& params) { static_cast<void>(params.text("a")); };
  const auto flag = [](ApiParams& params) { static_cast<void>(params.flag("a")); };
  const auto integer = [](ApiParams& params) { static_cast<void>(params.integer("a")); };
  const auto texts = [](ApiParams& params) { static_cast<void>(params.texts("a")); };
  const auto map = [](ApiParams& params) { static_cast<void>(params.text_map("a")); };
  const Case cases[] = {
      {"1", text, "'a' must be a string"},
      {"[]", text, "'a' must be a string"},
      {R"("true")", flag, "'a' must be true or false"},
      {"1", flag, "'a' must be true or false"},
      {R"("1")", integer, "'a' must be an integer"},
      {"1.5", integer, "'a' must be an integer"},
      {"1e2", integer, "'a' must be an integer"},
      {"9223372036854775808", integer, "'a' must be an integer"},
      {"18446744073709551615", integer, "'a' must be an integer"},
      {"123456789012345678901234567890", integer, "'a' must be an integer"},
      {R"("x")", texts, "'a' must be a list of strings"},
      {R"(["x",1])", texts, "'a' must be a list of strings"},
      {R"(["x"])", map, "'a' must be an object of strings"},
      {R"({"x":1})", map, "'a' must be an object of strings"},
  };
  for (const Case& one : cases) {
    ApiParams params(std::string(R"({"a":)") + one.value + "}");
    one.read(params);
    ASSERT_TRUE(params.error().has_value()) << one.value;
    EXPECT_EQ(params.error()->code, 107U);
    EXPECT_NE(params.error()->message.find(one.message), std::string::npos)
        << params.error()->message;
  }
}

TEST(ApiParams, TheLimitsOfAnIntegerAreReadExactly) {
  ApiParams params(R"({"low":-9223372036854775808,"high":9223372036854775807})");
  EXPECT_EQ(params.integer("low"), INT64_MIN);
  EXPECT_EQ(params.integer("high"), INT64_MAX);
  EXPECT_FALSE(params.error().has_value());
}

TEST(ApiParams, TheFirstErrorStays) {
  ApiParams params(R"({"a":1,"b":1})");
  static_cast<void>(params.text("a"));
  static_cast<void>(params.flag("b"));
  params.require("c", false);
  ASSERT_TRUE(params.error().has_value());
  EXPECT_NE(params.error()->message.find("'a'"), std::string::npos);
}

TEST(ApiParams, WhatIsRequiredIsNamed) {
  ApiParams params("{}");
  params.require("channel", true);
  EXPECT_FALSE(params.error().has_value());
  params.require("channel", false);
  ASSERT_TRUE(params.error().has_value());
  EXPECT_NE(params.error()->message.find("'channel' is required"), std::string::npos);
}

TEST(ApiParams, TextThatIsNoObjectIsAnErrorAndReadsAsEmpty) {
  for (const char* text : {"", "[]", "nonsense", "{", "\xff", "1", "null"}) {
    ApiParams params(text);
    EXPECT_TRUE(params.error().has_value()) << text;
    EXPECT_EQ(params.text("a"), "");
  }
}

}  // namespace
}  // namespace trunkline::server
