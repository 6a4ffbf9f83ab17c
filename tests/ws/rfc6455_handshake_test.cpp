// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, section 4: the opening handshake, rule by rule.
#include "ws/handshake.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::ws {
namespace {

// The examples of section 1.3.
constexpr std::string_view kNonce = "the sample nonce";
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// --- section 4.2.1: what a server asks of a request ----------------------------------------------

constexpr HandshakeRequest kRequest = {.method = "GET",
                                       .http_version = 11,
                                       .host = "server.example.com",
                                       .upgrade = "websocket",
                                       .connection = "Upgrade",
                                       .sec_websocket_key = kKey,
                                       .sec_websocket_version = "13",
                                       .sec_websocket_protocol = {}};

struct RequestCase {
  std::string_view name;
  std::string_view HandshakeRequest::* field;
  std::string_view value;
  int status;  // 101: taken
};

void PrintTo(const RequestCase& value, std::ostream* out) {
  *out << value.name << " \"" << value.value << '"';
}

template <class Case>
std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.name) + std::to_string(info.index);
}

class Rfc6455Request : public ::testing::TestWithParam<RequestCase> {};

TEST_P(Rfc6455Request, IsTakenOrRefused) {
  HandshakeRequest request = kRequest;
  request.*GetParam().field = GetParam().value;
  const auto response = accept_handshake(request, {});
  EXPECT_EQ(response.has_value() ? 101 : response.error().status, GetParam().status);
  if (!response.has_value()) {
    EXPECT_FALSE(response.error().reason.empty());
  }
}

using Request = HandshakeRequest;

INSTANTIATE_TEST_SUITE_P(Item1, Rfc6455Request,
                         ::testing::Values(RequestCase{"Method", &Request::method, "GET", 101},
                                           RequestCase{"Method", &Request::method, "get", 405},
                                           RequestCase{"Method", &Request::method, "POST", 405},
                                           RequestCase{"Method", &Request::method, "CONNECT", 405},
                                           RequestCase{"Method", &Request::method, "", 405},
                                           RequestCase{"Host", &Request::host, "", 400}),
                         case_name<RequestCase>);

INSTANTIATE_TEST_SUITE_P(
    Item3, Rfc6455Request,
    ::testing::Values(RequestCase{"Upgrade", &Request::upgrade, "WebSocket", 101},
                      RequestCase{"Upgrade", &Request::upgrade, "WEBSOCKET", 101},
                      RequestCase{"Upgrade", &Request::upgrade, " websocket\t", 101},
                      RequestCase{"Upgrade", &Request::upgrade, "h2c, websocket", 101},
                      RequestCase{"Upgrade", &Request::upgrade, "websocket,h2c", 101},
                      RequestCase{"Upgrade", &Request::upgrade, ", ,websocket", 101},
                      RequestCase{"Upgrade", &Request::upgrade, "", 426},
                      RequestCase{"Upgrade", &Request::upgrade, "websockets", 426},
                      RequestCase{"Upgrade", &Request::upgrade, "web socket", 426},
                      RequestCase{"Upgrade", &Request::upgrade, "websocket h2c", 426},
                      RequestCase{"Upgrade", &Request::upgrade, "websocket;h2c", 426},
                      RequestCase{"Upgrade", &Request::upgrade, "h2c", 426}),
    case_name<RequestCase>);

INSTANTIATE_TEST_SUITE_P(
    Item4, Rfc6455Request,
    ::testing::Values(RequestCase{"Connection", &Request::connection, "upgrade", 101},
                      RequestCase{"Connection", &Request::connection, "UPGRADE", 101},
                      RequestCase{"Connection", &Request::connection, "keep-alive, Upgrade", 101},
                      RequestCase{"Connection", &Request::connection, "Upgrade,keep-alive", 101},
                      RequestCase{"Connection", &Request::connection, "\tUpgrade ", 101},
                      RequestCase{"Connection", &Request::connection, "", 426},
                      RequestCase{"Connection", &Request::connection, "close", 426},
                      RequestCase{"Connection", &Request::connection, "keep-alive", 426},
                      RequestCase{"Connection", &Request::connection, "Upgraded", 426},
                      RequestCase{"Connection", &Request::connection, "keep-alive Upgrade", 426}),
    case_name<RequestCase>);

// OpenSSL decodes a '=' in the middle as a zero, so that such keys were taken once.
INSTANTIATE_TEST_SUITE_P(
    Item5, Rfc6455Request,
    ::testing::Values(
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==", 101},
        RequestCase{"Key", &Request::sec_websocket_key, " dGhlIHNhbXBsZSBub25jZQ== ", 101},
        RequestCase{"Key", &Request::sec_websocket_key, "ABCDEFGHIJKLMNOPQRSTUQ==", 101},
        RequestCase{"Key", &Request::sec_websocket_key, "VWXYZabcdefghijklmnopQ==", 101},
        RequestCase{"Key", &Request::sec_websocket_key, "qrstuvwxyz0123456789+/==", 101},
        RequestCase{"Key", &Request::sec_websocket_key, "AAAAAAAAAAAAAAAAAAAAAA==", 101},
        RequestCase{"Key", &Request::sec_websocket_key, "", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "c2hvcnQ=", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ=", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQAA", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQA=", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQAAAA==", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ===", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25j", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==dGhl", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNhbXBsZSBub25j-_==", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhlIHNh bXBsZSBub25jZ==", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "dGhl=HNhbXBsZSBub25jZQ==", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "=====================Q==", 400},
        RequestCase{"Key", &Request::sec_websocket_key, "!!!!!!!!!!!!!!!!!!!!!!==", 400}),
    case_name<RequestCase>);

INSTANTIATE_TEST_SUITE_P(
    Item6, Rfc6455Request,
    ::testing::Values(RequestCase{"Version", &Request::sec_websocket_version, " 13 ", 101},
                      RequestCase{"Version", &Request::sec_websocket_version, "", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "0", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "8", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "12", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "14", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "013", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "13.0", 426},
                      RequestCase{"Version", &Request::sec_websocket_version, "13, 8", 426}),
    case_name<RequestCase>);

TEST(Rfc6455RequestVersion, MustBeHttp11OrLater) {
  HandshakeRequest request = kRequest;
  for (const unsigned version : {9U, 10U}) {
    request.http_version = version;
    EXPECT_EQ(accept_handshake(request, {}).error().status, 400) << version;
  }
}

// --- section 4.2.2: the response
// ------------------------------------------------------------------

struct SubprotocolCase {
  std::string_view name;
  std::string_view offered;
  std::vector<std::string_view> supported;
  std::string_view chosen;
};

void PrintTo(const SubprotocolCase& value, std::ostream* out) {
  *out << '"' << value.offered << '"';
}

class Rfc6455Subprotocol : public ::testing::TestWithParam<SubprotocolCase> {};

TEST_P(Rfc6455Subprotocol, IsTheFirstOfTheClientsThatIsSupported) {
  HandshakeRequest request = kRequest;
  request.sec_websocket_protocol = GetParam().offered;
  const auto response = accept_handshake(request, GetParam().supported);
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->subprotocol, GetParam().chosen);
  EXPECT_EQ(response->accept, kAccept);
}

INSTANTIATE_TEST_SUITE_P(Item5, Rfc6455Subprotocol,
                         ::testing::Values(SubprotocolCase{"None", "", {"a"}, ""},
                                           SubprotocolCase{"Only", "a", {"a"}, "a"},
                                           SubprotocolCase{"ClientsOrder", "b, a", {"a", "b"}, "b"},
                                           SubprotocolCase{
                                               "UnknownFirst", "unknown, b, a", {"a", "b"}, "b"},
                                           SubprotocolCase{"Unknown", "unknown", {"a", "b"}, ""},
                                           SubprotocolCase{"NothingSupported", "a", {}, ""},
                                           SubprotocolCase{"WithoutSpaces", "x,y,a", {"a"}, "a"},
                                           SubprotocolCase{"WithSpaces", " x\t,  a ", {"a"}, "a"},
                                           SubprotocolCase{"EmptyElements", ",,a,", {"a"}, "a"},
                                           SubprotocolCase{"Case", "A", {"a"}, ""},
                                           SubprotocolCase{"PartOfAName", "a.b, aa", {"a"}, ""}),
                         case_name<SubprotocolCase>);

// Made by Python: base64(sha1(key + GUID)).
TEST(Rfc6455Accept, IsTheDigestOfKeyAndGuid) {
  EXPECT_EQ(accept_key(kKey), kAccept);
  EXPECT_EQ(accept_key("AAAAAAAAAAAAAAAAAAAAAA=="), "ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
  EXPECT_EQ(accept_key("/////////////////////w=="), "XXpj4jYzLM2yUE0C7TIgMwTQh2g=");
}

// --- section 4.1: what a client asks of a response
// ------------------------------------------------

constexpr HandshakeReply kReply = {.status = 101,
                                   .upgrade = "websocket",
                                   .connection = "Upgrade",
                                   .sec_websocket_accept = kAccept,
                                   .sec_websocket_protocol = {},
                                   .sec_websocket_extensions = {}};

struct ReplyCase {
  std::string_view name;
  std::string_view HandshakeReply::* field;
  std::string_view value;
  bool taken;
};

void PrintTo(const ReplyCase& value, std::ostream* out) {
  *out << value.name << " \"" << value.value << '"';
}

class Rfc6455Reply : public ::testing::TestWithParam<ReplyCase> {};

TEST_P(Rfc6455Reply, IsTakenOrRefused) {
  HandshakeReply reply = kReply;
  reply.*GetParam().field = GetParam().value;
  ClientHandshake handshake;
  handshake.subprotocols = {"offered", "other"};
  const auto checked = check_reply(handshake, kNonce, reply);
  EXPECT_EQ(checked.has_value(), GetParam().taken);
  if (!checked.has_value()) {
    EXPECT_EQ(checked.error().code, ErrorCode::kHandshakeRefused);
  }
}

using Reply = HandshakeReply;

// Item 2 compares the whole field, unlike the server's side.
INSTANTIATE_TEST_SUITE_P(
    Items2And3, Rfc6455Reply,
    ::testing::Values(ReplyCase{"Upgrade", &Reply::upgrade, "WebSocket", true},
                      ReplyCase{"Upgrade", &Reply::upgrade, " websocket ", true},
                      ReplyCase{"Upgrade", &Reply::upgrade, "", false},
                      ReplyCase{"Upgrade", &Reply::upgrade, "websocket, h2c", false},
                      ReplyCase{"Upgrade", &Reply::upgrade, "websockets", false},
                      ReplyCase{"Connection", &Reply::connection, "upgrade", true},
                      ReplyCase{"Connection", &Reply::connection, "keep-alive, UPGRADE", true},
                      ReplyCase{"Connection", &Reply::connection, "", false},
                      ReplyCase{"Connection", &Reply::connection, "close", false}),
    case_name<ReplyCase>);

INSTANTIATE_TEST_SUITE_P(
    Item4, Rfc6455Reply,
    ::testing::Values(
        ReplyCase{"Accept", &Reply::sec_websocket_accept, " s3pPLMBiTxaQ9kYGzzhZRbK+xOo= ", true},
        ReplyCase{"Accept", &Reply::sec_websocket_accept, "", false},
        ReplyCase{"Accept", &Reply::sec_websocket_accept, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", false},
        ReplyCase{"Accept", &Reply::sec_websocket_accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", false},
        ReplyCase{"Accept", &Reply::sec_websocket_accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo==", false},
        ReplyCase{"Accept", &Reply::sec_websocket_accept, kKey, false}),
    case_name<ReplyCase>);

INSTANTIATE_TEST_SUITE_P(
    Items5And6, Rfc6455Reply,
    ::testing::Values(
        ReplyCase{"Extensions", &Reply::sec_websocket_extensions, "permessage-deflate", false},
        ReplyCase{"Extensions", &Reply::sec_websocket_extensions, "x-other; a=1", false},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "offered", true},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "other", true},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "", true},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "Offered", false},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "offered, other", false},
        ReplyCase{"Protocol", &Reply::sec_websocket_protocol, "unknown", false}),
    case_name<ReplyCase>);

TEST(Rfc6455ReplyStatus, MustBe101) {
  HandshakeReply reply = kReply;
  for (const int status : {0, 100, 102, 200, 301, 400, 401, 426, 503}) {
    reply.status = status;
    EXPECT_FALSE(check_reply({}, kNonce, reply).has_value()) << status;
  }
}

TEST(Rfc6455ReplyProtocol, IsRefusedWhenNoneWasOffered) {
  HandshakeReply reply = kReply;
  reply.sec_websocket_protocol = "any";
  EXPECT_FALSE(check_reply({}, kNonce, reply).has_value());
}

TEST(Rfc6455Handshake, OfOursIsTakenByOurs) {
  // The key as a request carries it, and the response that a server makes of it.
  for (const std::string_view nonce : {"0123456789abcdef",
                                       "\xFF\xFE\xFD\xFC\xFB\xFA\xF9\xF8"
                                       "\x01\x02\x03\x04\x05\x06\x07\x08"}) {
    const std::string bytes = make_request({}, nonce).value();
    const std::string label = "Sec-WebSocket-Key: ";
    const std::size_t at = bytes.find(label) + label.size();
    const std::string key = bytes.substr(at, bytes.find("\r\n", at) - at);
    HandshakeRequest request = kRequest;
    request.sec_websocket_key = key;
    const auto response = accept_handshake(request, {});
    ASSERT_TRUE(response.has_value());
    HandshakeReply reply = kReply;
    reply.sec_websocket_accept = response->accept;
    EXPECT_TRUE(check_reply({}, nonce, reply).has_value());
  }
}

}  // namespace
}  // namespace trunkline::ws
