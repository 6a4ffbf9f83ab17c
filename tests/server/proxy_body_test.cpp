// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_body.h"

#include <gtest/gtest.h>

#include <random>

namespace trunkline::server {
namespace {

using session::Caller;
using session::ClientContext;
using std::chrono::seconds;

const WallTime kNow{seconds(1000)};

Caller caller() {
  return {.client = "c-1",
          .user = "u\"",
          .info = "{}",
          .context = std::make_shared<const ClientContext>(ClientContext{.meta = R"({"m":1})"})};
}

// — questions —

TEST(ProxyEncode, Connect) {
  EXPECT_EQ(encode_connect({.caller = caller(), .name = {}, .version = {}, .data = {}}, {}),
            R"({"client":"c-1","transport":"websocket","protocol":"json","encoding":"json"})");
  EXPECT_EQ(encode_connect({.caller = caller(),
                            .name = "js",
                            .version = "7",
                            .data = R"({"a":1.50})",
                            .channels = {"a", "b"}},
                           {.include_meta = true}),
            R"({"client":"c-1","transport":"websocket","protocol":"json","encoding":"json",)"
            R"("name":"js","version":"7","data":{"a":1.50},"channels":["a","b"]})");
}

TEST(ProxyEncode, OthersHaveTheUser) {
  const std::string begin =
      R"({"client":"c-1","transport":"websocket","protocol":"json","encoding":"json",)"
      R"("user":"u\"")";
  EXPECT_EQ(encode_refresh(caller(), {}), begin + "}");
  EXPECT_EQ(encode_refresh(caller(), {.include_meta = true}), begin + R"(,"meta":{"m":1}})");
  EXPECT_EQ(encode_subscribe({caller(), "ch", ""}, {}), begin + R"(,"channel":"ch"})");
  EXPECT_EQ(encode_subscribe({caller(), "ch", "[1]"}, {.include_meta = true}),
            begin + R"(,"channel":"ch","meta":{"m":1},"data":[1]})");
  EXPECT_EQ(encode_publish({caller(), "ch", "[1]"}, {}), begin + R"(,"channel":"ch","data":[1]})");
  EXPECT_EQ(encode_sub_refresh({caller(), "ch"}, {}), begin + R"(,"channel":"ch"})");
  EXPECT_EQ(encode_rpc({caller(), "", ""}, {}), begin + "}");
  EXPECT_EQ(encode_rpc({caller(), "m", "7"}, {}), begin + R"(,"method":"m","data":7})");
}

TEST(ProxyEncode, PayloadsMayBeInBase64) {
  EXPECT_TRUE(encode_rpc({caller(), "m", R"({"a":1})"}, {.binary = true})
                  .ends_with(R"("b64data":"eyJhIjoxfQ=="})"));
  EXPECT_TRUE(
      encode_publish({caller(), "c", "12"}, {.binary = true}).ends_with(R"("b64data":"MTI="})"));
}

// — answers —

TEST(ProxyDecode, ConnectGrants) {
  const auto answer = decode_connect(R"({"result":{
    "user":"56","expire_at":2000,"info":{"n":1.50},"data":[ 1,
    2 ],"meta":{"k":1},"channels":["b","c"],
    "subs":{"a":{"info":{"x":1},"b64data":"WzFd"},"d":null}}})",
                                     kNow);
  ASSERT_TRUE(answer.has_value()) << answer.error().context;
  ASSERT_TRUE(answer->decision.has_value());
  const session::ConnectGrant& grant = *answer->decision;
  EXPECT_EQ(grant.user, "56");
  EXPECT_EQ(grant.expire_at, WallTime{seconds(2000)});
  EXPECT_EQ(grant.info, R"({"n":1.50})");
  EXPECT_EQ(grant.data.find('\n'), std::string::npos);
  EXPECT_EQ(grant.meta, R"({"k":1})");
  ASSERT_EQ(grant.channels.size(), 4U);
  EXPECT_EQ(grant.channels[0].channel, "a");
  EXPECT_EQ(grant.channels[0].info, R"({"x":1})");
  EXPECT_EQ(grant.channels[0].data, "[1]");
  EXPECT_EQ(grant.channels[1].channel, "d");
  EXPECT_EQ(grant.channels[3].channel, "c");
  EXPECT_TRUE(answer->ignored.empty());
}

TEST(ProxyDecode, ConnectMayBeAnonymousAndForEver) {
  const auto answer = decode_connect(R"({"result":{"expire_at":0,"info":null}})", kNow);
  ASSERT_TRUE(answer.has_value() && answer->decision.has_value());
  EXPECT_EQ(answer->decision->user, "");
  EXPECT_EQ(answer->decision->expire_at, std::nullopt);
}

TEST(ProxyDecode, AConnectThatHasExpiredAlreadyIsNone) {
  const auto answer = decode_connect(R"({"result":{"user":"a","expire_at":1000}})", kNow);
  ASSERT_TRUE(answer.has_value() && !answer->decision.has_value());
  EXPECT_EQ(answer->decision.error().code, 3005U);
  EXPECT_TRUE(answer->decision.error().disconnects);
}

TEST(ProxyDecode, ErrorsAndDisconnectsAreOfAllKinds) {
  const std::string error = R"({"error":{"code":1000,"message":"no","temporary":true}})";
  const std::string end =
      R"({"error":{"code":1},"disconnect":{"code":4501,"reason":"out"},"result":{"user":"x"}})";
  const auto check = [&](auto decode) {
    const auto refused = decode(error);
    ASSERT_TRUE(refused.has_value() && !refused->decision.has_value());
    EXPECT_EQ(refused->decision.error().code, 1000U);
    EXPECT_EQ(refused->decision.error().message, "no");
    EXPECT_TRUE(refused->decision.error().temporary);
    EXPECT_FALSE(refused->decision.error().disconnects);
    const auto ended = decode(end);
    ASSERT_TRUE(ended.has_value() && !ended->decision.has_value());
    EXPECT_EQ(ended->decision.error().code, 4501U);
    EXPECT_EQ(ended->decision.error().message, "out");
    EXPECT_TRUE(ended->decision.error().disconnects);
  };
  check([](std::string_view body) { return decode_connect(body, kNow); });
  check([](std::string_view body) { return decode_subscribe(body, kNow); });
  check([](std::string_view body) { return decode_publish(body); });
  check([](std::string_view body) { return decode_rpc(body); });
}

TEST(ProxyDecode, SubscribeGrants) {
  const auto answer = decode_subscribe(
      R"({"result":{"info":{"r":1},"data":"hi","expire_at":1001,"override":{}}})", kNow);
  ASSERT_TRUE(answer.has_value() && answer->decision.has_value());
  EXPECT_EQ(answer->decision->info, R"({"r":1})");
  EXPECT_EQ(answer->decision->data, R"("hi")");
  EXPECT_EQ(answer->decision->expire_at, WallTime{seconds(1001)});
  EXPECT_EQ(answer->ignored, std::vector<std::string>{"body.result.override"});
  const auto expired = decode_subscribe(R"({"result":{"expire_at":1}})", kNow);
  ASSERT_TRUE(expired.has_value() && !expired->decision.has_value());
  EXPECT_EQ(expired->decision.error().code, 110U);
}

TEST(ProxyDecode, PublishGrants) {
  const auto answer = decode_publish(
      R"({"result":{"data":{"n":2},"skip_history":true,"tags":{"a":"b"},"idempotency_key":"k"}})");
  ASSERT_TRUE(answer.has_value() && answer->decision.has_value());
  EXPECT_EQ(answer->decision->data, R"({"n":2})");
  EXPECT_TRUE(answer->decision->skip_history);
  EXPECT_EQ(answer->decision->tags, (session::Fields{{"a", "b"}}));
  EXPECT_EQ(answer->decision->idempotency_key, "k");
  EXPECT_FALSE(decode_publish(R"({"result":{}})")->decision->skip_history);
}

TEST(ProxyDecode, RefreshesGoOnOrNot) {
  const auto check = [](auto decode) {
    EXPECT_EQ(decode(R"({"result":{"expire_at":2000}})")->decision->expire_at,
              WallTime{seconds(2000)});
    EXPECT_EQ(decode(R"({"result":{}})")->decision->expire_at, std::nullopt);
    EXPECT_EQ(decode(R"({"result":{"info":[1]}})")->decision->info, "[1]");
    EXPECT_FALSE(decode(R"({"result":{"expired":true,"expire_at":2000}})")->decision.has_value());
    EXPECT_FALSE(decode(R"({"result":{"expire_at":999}})")->decision.has_value());
    EXPECT_FALSE(decode("{}").has_value());
  };
  check([](std::string_view body) { return decode_refresh(body, kNow); });
  check([](std::string_view body) { return decode_sub_refresh(body, kNow); });
}

TEST(ProxyDecode, RpcHasAnyJsonOrNothing) {
  EXPECT_EQ(decode_rpc(R"({"result":{"data":{"a":[1.50,"\u00fc"]}}})")->decision->data,
            R"({"a":[1.50,"\u00fc"]})");
  EXPECT_EQ(decode_rpc(R"({"result":{"b64data":"MTI="}})")->decision->data, "12");
  EXPECT_EQ(decode_rpc(R"({"result":{}})")->decision->data, "");
  EXPECT_EQ(decode_rpc("{}")->decision->data, "");
}

TEST(ProxyDecode, NamesWhatHasNoEffect) {
  const auto answer = decode_connect(
      R"({"result":{"user":"a","caps":[],"storage":1,"subs":{"a":{"override":{"presence":{}}}}}})",
      kNow);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->ignored, (std::vector<std::string>{"result.subs[].override", "body.result.caps",
                                                       "body.result.storage"}));
}

struct BadBody {
  std::string_view body;
  std::string_view why;
};

class ProxyBadBody : public testing::TestWithParam<BadBody> {};

TEST_P(ProxyBadBody, GrantsNothing) {
  const auto connect = decode_connect(GetParam().body, kNow);
  ASSERT_FALSE(connect.has_value());
  EXPECT_EQ(connect.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(connect.error().context, GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(
    Of, ProxyBadBody,
    testing::Values(
        BadBody{"", "the body is not a JSON object"},
        BadBody{"[]", "the body is not a JSON object"},
        BadBody{"{", "the body is not a JSON object"},
        BadBody{"{}x", "the body is not a JSON object"},
        BadBody{"{\"result\":{\"user\":\"\xff\"}}", "the body is not a JSON object"},
        BadBody{"{}", "body.result is missing"}, BadBody{"null", "the body is not a JSON object"},
        BadBody{R"({"result":null})", "body.result is missing"},
        BadBody{R"({"result":[]})", "body.result is not an object"},
        BadBody{R"({"result":{"user":5}})", "body.result.user is not a string"},
        BadBody{R"({"result":{"user":"\ud800"}})", "body.result.user is not a string"},
        BadBody{R"({"result":{"expire_at":"5"}})", "body.result.expire_at is not an integer"},
        BadBody{R"({"result":{"expire_at":1.5}})", "body.result.expire_at is not an integer"},
        BadBody{R"({"result":{"expire_at":-1}})",
                "body.result.expire_at is not from 0 to 9000000000000"},
        BadBody{R"({"result":{"expire_at":18446744073709551615}})",
                "body.result.expire_at is not from 0 to 9000000000000"},
        BadBody{R"({"result":{"expire_at":1e400}})", "body.result.expire_at is not an integer"},
        BadBody{R"({"result":{"b64info":"?"}})", "body.result.b64info is not JSON in base64"},
        BadBody{R"({"result":{"b64data":"YQ=="}})", "body.result.b64data is not JSON in base64"},
        BadBody{R"({"result":{"channels":"a"}})", "body.result.channels is not a list of strings"},
        BadBody{R"({"result":{"channels":["a",1]}})",
                "body.result.channels is not a list of strings"},
        BadBody{R"({"result":{"subs":[]}})", "body.result.subs is not an object"},
        BadBody{R"({"result":{"subs":{"a":1}}})",
                "body.result.subs has an element that is not an object"},
        BadBody{R"({"result":{"subs":{"a":{"b64info":"?"}}}})",
                "result.subs[].b64info is not JSON in base64"},
        BadBody{R"({"error":{}})", "body.error.code is missing"},
        BadBody{R"({"error":"no"})", "body.error is not an object"},
        BadBody{R"({"error":{"code":1,"temporary":1}})",
                "body.error.temporary is not true or false"},
        BadBody{R"({"disconnect":{"code":2999}})", "body.disconnect.code is not from 3000 to 4999"},
        BadBody{R"({"disconnect":{"code":5000}})", "body.disconnect.code is not from 0 to 4999"}));

// Bodies that were broken at random are read or refused, and what is granted is JSON.
TEST(ProxyDecode, AnyBytesAreReadOrRefused) {
  const std::string good =
      R"({"result":{"user":"56","expire_at":2000,"info":{"n":1.5},"data":[1,2],"channels":["b"],)"
      R"("subs":{"a":{"info":{"x":1},"b64data":"WzFd"}},"tags":{"a":"b"},"skip_history":true}})";
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string body = good;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const std::size_t at = random() % body.size();
      switch (random() % 3) {
        case 0:
          body[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          body.erase(at, 1 + random() % 8);
          break;
        default:
          body.insert(at, std::string(1 + random() % 3, "{}[]\",:0e\\"[random() % 10]));
          break;
      }
      if (body.empty()) {
        body = "{";
      }
    }
    (void)decode_connect(body, kNow);
    (void)decode_refresh(body, kNow);
    (void)decode_subscribe(body, kNow);
    (void)decode_publish(body);
    (void)decode_sub_refresh(body, kNow);
    (void)decode_rpc(body);
  }
}

}  // namespace
}  // namespace trunkline::server
