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

// OpenSSL decodes a '=' in the middle as a zero, so that such keys were taken.
TEST(AcceptHandshake, RefusesKeysThatAreNot16BytesInBase64) {
  for (const std::string_view key :
       {"dGhl=HNhbXBsZSBub25jZQ==", "=====================Q==", "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBsZSBub25jZQAAAA==", "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ==dGhl", "dGhlIHNhbXBsZSBub25j-_==", "dGhlIHNh bXBsZSBub25jZ=="}) {
    HandshakeRequest request = good_request();
    request.sec_websocket_key = key;
    EXPECT_EQ(refusal(request), 400) << key;
  }
}

TEST(AcceptHandshake, TakesEveryLetterOfBase64InAKey) {
  for (const std::string_view key :
       {"ABCDEFGHIJKLMNOPQRSTUQ==", "VWXYZabcdefghijklmnopQ==", "qrstuvwxyz0123456789+/=="}) {
    HandshakeRequest request = good_request();
    request.sec_websocket_key = key;
    EXPECT_EQ(refusal(request), 0) << key;
  }
}

TEST(AcceptHandshake, IgnoresSpaceAroundValues) {
  HandshakeRequest request = good_request();
  request.sec_websocket_key = " dGhlIHNhbXBsZSBub25jZQ== ";
  request.sec_websocket_version = " 13\t";
  EXPECT_EQ(accept_handshake(request, {})->accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(AcceptHandshake, SaysWhyARequestIsRefused) {
  HandshakeRequest request = good_request();
  request.http_version = 10;
  EXPECT_EQ(accept_handshake(request, {}).error().reason, "a WebSocket handshake needs HTTP/1.1");
  request.method = "POST";
  EXPECT_EQ(accept_handshake(request, {}).error().reason, "a WebSocket handshake is a GET request");
}

TEST(AcceptHandshake, ComparesSubprotocolsWithCase) {
  HandshakeRequest request = good_request();
  request.sec_websocket_protocol = "A";
  EXPECT_EQ(accept_handshake(request, {"a"})->subprotocol, "");
}

TEST(MakeRequest, CarriesWhatSection41Asks) {
  EXPECT_EQ(make_request({.host = "example.com:81",
                          .target = "/chat?x=1",
                          .subprotocols = {"a", "b"},
                          .origin = "http://example.com"},
                         "the sample nonce"),
            "GET /chat?x=1 HTTP/1.1\r\nHost: example.com:81\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n"
            "Origin: http://example.com\r\n\r\n");
}

TEST(MakeRequest, LeavesOutWhatIsEmpty) {
  const std::string request = make_request(
      {.host = "h", .target = "/", .subprotocols = {}, .origin = {}}, "the sample nonce");
  EXPECT_EQ(request.find("Sec-WebSocket-Protocol"), std::string::npos);
  EXPECT_EQ(request.find("Origin"), std::string::npos);
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

// Section 4.1, item 2 compares the whole field, unlike the server's side.
TEST_F(CheckReply, RefusesAnUpgradeToMoreThanWebsocket) {
  good.upgrade = "websocket, h2c";
  EXPECT_FALSE(check_reply({}, kNonce, good).has_value());
}

TEST_F(CheckReply, ComparesUpgradeAndConnectionWithoutCase) {
  good.upgrade = "WebSocket";
  good.connection = "keep-alive, UPGRADE";
  EXPECT_TRUE(check_reply({}, kNonce, good).has_value());
}

TEST_F(CheckReply, ComparesAcceptWithCase) {
  good.sec_websocket_accept = "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
  EXPECT_FALSE(check_reply({}, kNonce, good).has_value());
}

TEST_F(CheckReply, NamesTheSubprotocolThatTheServerChose) {
  ClientHandshake handshake;
  handshake.subprotocols = {"a", "b"};
  good.sec_websocket_protocol = "b";
  EXPECT_EQ(check_reply(handshake, kNonce, good).value(), "b");
}

TEST_F(CheckReply, TakesAServerThatChoseNoSubprotocol) {
  ClientHandshake handshake;
  handshake.subprotocols = {"a"};
  EXPECT_EQ(check_reply(handshake, kNonce, good).value(), "");
}

}  // namespace
}  // namespace trunkline::ws
