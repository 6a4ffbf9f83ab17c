// SPDX-License-Identifier: Apache-2.0
#include "server/jwt.h"
#include "server/jwt_signer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace trunkline::server {
namespace {

// Each channel with its info and data.
std::string channels_of(std::string_view claims) {
  const auto verified = jwt_for("HS256").verify_connection(hs(claims), kNow);
  if (!verified.has_value()) {
    return std::string(name(verified.error().code));
  }
  std::string text;
  for (const session::ServerChannel& channel : verified->channels) {
    text += fmt::format("[{}|{}|{}]", channel.channel, channel.info, channel.data);
  }
  return text;
}

TEST(JwtChannels, AreAListOfNames) {
  EXPECT_EQ(channels_of(R"({"channels":["a","ns:b\"c"]})"), R"([a||][ns:b"c||])");
  EXPECT_EQ(channels_of(R"({"channels":[]})"), "");
  EXPECT_EQ(channels_of(R"({"channels":null,"subs":null})"), "");
  EXPECT_EQ(channels_of("{}"), "");
}

TEST(JwtChannels, OrAnObjectOfOptions) {
  EXPECT_EQ(channels_of(R"({"subs":{"a":{"info":{"x": 1},"data":[2]},"b":{}},"channels":["c"]})"),
            R"([a|{"x": 1}|[2]][b||][c||])");
  EXPECT_EQ(channels_of(R"({"subs":{"a":{"b64info":"eyJ4IjoxfQ==","b64data":"WzJd"}}})"),
            R"([a|{"x":1}|[2]])");
  EXPECT_EQ(channels_of(R"({"subs":{"a":{"info":null,"override":{"presence":{"value":true}}}}})"),
            "[a||]");
}

TEST(JwtChannels, OfAnotherTypeAreRefusedAndNotForgotten) {
  for (const char* claims :
       {R"({"channels":"a"})", R"({"channels":{}})", R"({"channels":[1]})", R"({"subs":["a"]})",
        R"({"subs":{"a":1}})", R"({"subs":{"a":null}})", R"({"subs":{"a":{"b64info":"?"}}})",
        R"({"subs":{"a":{"b64data":1}}})", R"({"subs":{"a":{"b64data":"bm8gSlNPTg=="}}})"}) {
    EXPECT_EQ(channels_of(claims), "token_invalid") << claims;
  }
}

}  // namespace
}  // namespace trunkline::server
