// SPDX-License-Identifier: Apache-2.0
#include "ws/handshake.h"

#include <gtest/gtest.h>

namespace trunkline::ws {
namespace {

HandshakeRequest good_request() {
  return {.method = "GET",
          .http_version = 11,
          .host = "server.example.com",
          .upgrade = "websocket",
          .connection = "Upgrade",
          .sec_websocket_key = "dGhlIHNhbXBsZSBub25jZQ==",
          .sec_websocket_version = "13",
          .sec_websocket_protocol = {}};
}

int refusal(const HandshakeRequest& request) {
  const auto response = accept_handshake(request, {});
  return response.has_value() ? 0 : response.error().status;
}

TEST(AcceptHandshake, AnswersTheExampleOfTheRfc) {
  const auto response = accept_handshake(good_request(), {});
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(AcceptHandshake, ComparesTokensOfListsWithoutCase) {
  HandshakeRequest request = good_request();
  request.upgrade = "h2c, WebSocket";
  request.connection = "keep-alive, upgrade";
  EXPECT_EQ(refusal(request), 0);
}

TEST(AcceptHandshake, RefusesEachBrokenRule) {
  const auto with = [](auto change) {
    HandshakeRequest request = good_request();
    change(request);
    return refusal(request);
  };
  EXPECT_EQ(with([](auto& r) { r.method = "POST"; }), 405);
  EXPECT_EQ(with([](auto& r) { r.http_version = 10; }), 400);
  EXPECT_EQ(with([](auto& r) { r.host = ""; }), 400);
  EXPECT_EQ(with([](auto& r) { r.upgrade = "websockets"; }), 426);
  EXPECT_EQ(with([](auto& r) { r.connection = "close"; }), 426);
  EXPECT_EQ(with([](auto& r) { r.sec_websocket_version = "8"; }), 426);
  EXPECT_EQ(with([](auto& r) { r.sec_websocket_key = ""; }), 400);
  EXPECT_EQ(with([](auto& r) { r.sec_websocket_key = "c2hvcnQ="; }), 400);
  EXPECT_EQ(with([](auto& r) { r.sec_websocket_key = "!!!!!!!!!!!!!!!!!!!!!!=="; }), 400);
}

TEST(AcceptHandshake, PicksTheClientsFirstSupportedSubprotocol) {
  HandshakeRequest request = good_request();
  request.sec_websocket_protocol = "unknown, b, a";
  EXPECT_EQ(accept_handshake(request, {"a", "b"})->subprotocol, "b");
  request.sec_websocket_protocol = "unknown";
  EXPECT_EQ(accept_handshake(request, {"a", "b"})->subprotocol, "");
}

class CheckReply : public ::testing::Test {
 protected:
  static constexpr std::string_view kNonce = "the sample nonce";
  HandshakeReply good{.status = 101,
                      .upgrade = "websocket",
                      .connection = "Upgrade",
                      .sec_websocket_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                      .sec_websocket_protocol = {},
                      .sec_websocket_extensions = {}};
};

TEST_F(CheckReply, TakesTheExampleOfTheRfc) {
  EXPECT_TRUE(check_reply({}, kNonce, good).has_value());
}

TEST_F(CheckReply, RefusesEachBrokenRule) {
  const auto with = [this](auto change) {
    HandshakeReply reply = good;
    change(reply);
    return check_reply({}, kNonce, reply).has_value();
  };
  EXPECT_FALSE(with([](auto& r) { r.status = 200; }));
  EXPECT_FALSE(with([](auto& r) { r.upgrade = ""; }));
  EXPECT_FALSE(with([](auto& r) { r.connection = "close"; }));
  EXPECT_FALSE(with([](auto& r) { r.sec_websocket_accept = "x"; }));
  EXPECT_FALSE(with([](auto& r) { r.sec_websocket_protocol = "not-offered"; }));
  EXPECT_FALSE(with([](auto& r) { r.sec_websocket_extensions = "permessage-deflate"; }));
}

}  // namespace
}  // namespace trunkline::ws
