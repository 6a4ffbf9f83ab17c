// SPDX-License-Identifier: Apache-2.0
#include "server/json_view.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::server {
namespace {

TEST(JsonView, HandsValuesOnAsTheyStand) {
  const Result<JsonMembers> members = json_members(
      R"( {"b": 1.0e+2 , "a" : {"z":1,"y":[1, 2]},"n":123456789012345678901234567890,"\u0061b":"\u00e9\n"} )");
  ASSERT_TRUE(members.has_value());
  const JsonMembers expected = {{"b", "1.0e+2"},
                                {"a", R"({"z":1,"y":[1, 2]})"},
                                {"n", "123456789012345678901234567890"},
                                {"ab", R"("\u00e9\n")"}};
  EXPECT_EQ(*members, expected);
}

TEST(JsonView, HandsElementsOnInTheirOrder) {
  const Result<std::vector<std::string>> elements = json_elements(R"([1, "a" ,null,[ ],{"b":2}])");
  ASSERT_TRUE(elements.has_value());
  EXPECT_EQ(*elements, (std::vector<std::string>{"1", R"("a")", "null", "[ ]", R"({"b":2})"}));
}

TEST(JsonView, TakesLineFeedsOutOfValues) {
  EXPECT_EQ(checked_json("{\"a\":\r\n [1,\n2]}\n"), R"({"a": [1,2]})");
  const Result<JsonMembers> members = json_members("{\"a\":[\n1\n]}");
  ASSERT_TRUE(members.has_value());
  EXPECT_EQ(members->front().second, "[1]");
}

TEST(JsonView, FindsTheFirstOfAName) {
  const JsonMembers members = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
  ASSERT_NE(find_member(members, "a"), nullptr);
  EXPECT_EQ(*find_member(members, "a"), "1");
  EXPECT_EQ(find_member(members, "c"), nullptr);
}

TEST(JsonView, RefusesWhatIsNotOneWellFormedValue) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "{]",
                           "[1,]",
                           "{\"a\":}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "01",
                           "1.",
                           "+1",
                           ".5",
                           "nul",
                           "True",
                           "NaN",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\n\"",
                           "1 2",
                           "{} {}",
                           "[1] ,",
                           "'a'",
                           "/**/1",
                           "\"a\"b",
                           "[1 2]",
                           "{\"a\":1,}",
                           "\xef\xbb\xbf{}x",
                           "\"\xff\""}) {
    EXPECT_FALSE(checked_json(text).has_value()) << text;
    EXPECT_FALSE(json_members(text).has_value()) << text;
    EXPECT_FALSE(json_elements(text).has_value()) << text;
  }
}

TEST(JsonView, TellsObjectsFromArraysAndScalars) {
  for (const char* text : {"[]", "1", "\"a\"", "null", "true"}) {
    EXPECT_FALSE(json_members(text).has_value()) << text;
  }
  for (const char* text : {"{}", "1", "\"a\"", "null", "true"}) {
    EXPECT_FALSE(json_elements(text).has_value()) << text;
  }
}

TEST(JsonView, SurvivesDepthThatNobodyMeans) {
  for (const std::size_t depth : {100U, 1'000U, 100'000U}) {
    const std::string text = std::string(depth, '[') + std::string(depth, ']');
    static_cast<void>(checked_json(text));
    static_cast<void>(json_elements(text));
    EXPECT_FALSE(checked_json(std::string(depth, '[')).has_value());
  }
}

TEST(JsonView, SurvivesRandomDamage) {
  const std::string good = R"({"channel":"a","data":{"x":[1,2.5e3,"\u00e9\\"],"y":null},"t":true})";
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    std::string text = good.substr(0, 1 + random.below(good.size()));
    for (std::uint64_t i = random.below(4); i > 0; --i) {
      text[random.below(text.size())] = static_cast<char>(random.below(256));
    }
    const std::optional<std::string> checked = checked_json(text);
    const Result<JsonMembers> members = json_members(text);
    // Whoever takes the members has taken the whole.
    ASSERT_TRUE(checked.has_value() || !members.has_value()) << "seed " << seed << ": " << text;
  }
}

}  // namespace
}  // namespace trunkline::server
