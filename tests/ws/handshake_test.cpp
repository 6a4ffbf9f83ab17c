// SPDX-License-Identifier: Apache-2.0
#include "ws/handshake.h"

#include <gtest/gtest.h>

#include <string>

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

TEST(AcceptHandshake, AnswersTheExampleOfTheRfc) {
  const auto response = accept_handshake(good_request(), {});
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
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
  const std::string request =
      make_request({.host = "h", .target = "/", .subprotocols = {}, .origin = {}},
                   "the sample nonce")
          .value();
  EXPECT_EQ(request.find("Sec-WebSocket-Protocol"), std::string::npos);
  EXPECT_EQ(request.find("Origin"), std::string::npos);
}

// What would end a line, or the request, and begin another one of somebody else's choice.
TEST(MakeRequest, RefusesWhatWouldSmuggleALineIn) {
  using std::string_literals::operator""s;
  const ClientHandshake good{.host = "h", .target = "/x", .subprotocols = {"a"}, .origin = "o"};
  for (const std::string& bad :
       {"a\r\nX: y"s, "a\nX: y"s, "a\rX: y"s, "a\0b"s, "\r\n"s, "a\x7F"s, "a\x1F"s, "a\tb"s}) {
    ClientHandshake handshake = good;
    handshake.host = bad;
    EXPECT_EQ(make_request(handshake, "the sample nonce").error().code,
              ErrorCode::kInvalidArgument);
    handshake = good;
    handshake.target = "/" + bad;
    EXPECT_EQ(make_request(handshake, "the sample nonce").error().code,
              ErrorCode::kInvalidArgument);
    handshake = good;
    handshake.subprotocols = {"a", bad};
    EXPECT_EQ(make_request(handshake, "the sample nonce").error().code,
              ErrorCode::kInvalidArgument);
    handshake = good;
    handshake.extensions = bad;
    EXPECT_EQ(make_request(handshake, "the sample nonce").error().code,
              ErrorCode::kInvalidArgument);
    handshake = good;
    handshake.origin = bad;
    EXPECT_EQ(make_request(handshake, "the sample nonce").error().code,
              ErrorCode::kInvalidArgument);
  }
}

TEST(MakeRequest, RefusesATargetThatIsNoneOrEndsEarly) {
  for (const std::string_view target : {"", "/ HTTP/1.1", "/a b"}) {
    const auto request =
        make_request({.host = "h", .target = std::string(target), .subprotocols = {}, .origin = {}},
                     "the sample nonce");
    ASSERT_FALSE(request.has_value()) << target;
    EXPECT_TRUE(request.error().context.contains("target")) << request.error().context;
  }
}

TEST(MakeRequest, LetsAPathBeUtf8) {
  EXPECT_TRUE(make_request({.host = "h", .target = "/\u00fc", .subprotocols = {}, .origin = {}},
                           "the sample nonce")
                  .has_value());
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
