// SPDX-License-Identifier: Apache-2.0
#include "ws/handshake.h"

#include "core/ascii.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace trunkline::ws {

namespace {

// RFC 6455, section 1.3.
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> tokens(std::string_view list) {
  std::vector<std::string_view> found;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    found.push_back(trimmed(list.substr(0, comma)));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return found;
}

bool has_token(std::string_view list, std::string_view token) {
  return std::ranges::any_of(
      tokens(list), [token](std::string_view found) { return equal_without_case(found, token); });
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// 16 bytes in base64: 22 letters and "==" (section 4.2.1, item 5). Not with EVP_DecodeBlock, which
// takes a '=' in the middle for a zero.
bool is_valid_key(std::string_view key) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return key.size() == 24 && key.ends_with("==") &&
         key.substr(0, 22).find_first_not_of(kLetters) == std::string_view::npos;
}

std::unexpected<HandshakeRefusal> refuse(int status, std::string reason) {
  return std::unexpected(HandshakeRefusal{status, std::move(reason)});
}

bool is_control_character(char letter) {
  return (letter >= '\0' && letter < ' ') || letter == '\x7F';
}

// RFC 9110, section 5.5: what a field's value may not hold.
bool fits_field(std::string_view value) {
  return std::ranges::none_of(value, is_control_character);
}

Result<void> check_request(const ClientHandshake& handshake) {
  // A space ends the target (RFC 9112, section 3).
  const auto is_one_word = [](std::string_view text) {
    return fits_field(text) && !text.contains(' ');
  };
  if (handshake.target.empty() || !is_one_word(handshake.target)) {
    return fail(ErrorCode::kInvalidArgument,
                "the request's target is empty or has a space or control character in it");
  }
  if (!is_one_word(handshake.host)) {
    return fail(ErrorCode::kInvalidArgument, "Host has a space or control character in it");
  }
  if (!std::ranges::all_of(handshake.subprotocols, fits_field)) {
    return fail(ErrorCode::kInvalidArgument,
                "Sec-WebSocket-Protocol has a control character in it");
  }
  if (!fits_field(handshake.extensions)) {
    return fail(ErrorCode::kInvalidArgument,
                "Sec-WebSocket-Extensions has a control character in it");
  }
  if (!fits_field(handshake.origin)) {
    return fail(ErrorCode::kInvalidArgument, "Origin has a control character in it");
  }
  return {};
}

}  // namespace

std::string accept_key(std::string_view key) {
  const std::string text = std::string(key) + std::string(kGuid);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return base64({reinterpret_cast<const char*>(digest.data()), size});
}

std::expected<HandshakeResponse, HandshakeRefusal> accept_handshake(
    const HandshakeRequest& request, const std::vector<std::string_view>& supported) {
  if (request.method != "GET") {
    return refuse(405, "a WebSocket handshake is a GET request");
  }
  if (request.http_version < 11) {
    return refuse(400, "a WebSocket handshake needs HTTP/1.1");
  }
  if (request.host.empty()) {
    return refuse(400, "the Host header is missing");
  }
  if (!has_token(request.upgrade, "websocket") || !has_token(request.connection, "upgrade")) {
    return refuse(426, "this is a WebSocket endpoint: send Upgrade: websocket");
  }
  if (trimmed(request.sec_websocket_version) != "13") {
    return refuse(426, "Sec-WebSocket-Version must be 13");
  }
  const std::string_view key = trimmed(request.sec_websocket_key);
  if (!is_valid_key(key)) {
    return refuse(400, "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  HandshakeResponse response{.accept = accept_key(key), .subprotocol = {}};
  for (const std::string_view offered : tokens(request.sec_websocket_protocol)) {
    if (std::ranges::find(supported, offered) != supported.end()) {
      response.subprotocol = offered;
      break;
    }
  }
  return response;
}

Result<std::string> make_request(const ClientHandshake& handshake, std::string_view nonce) {
  if (const Result<void> checked = check_request(handshake); !checked.has_value()) {
    return std::unexpected(checked.error());
  }
  std::string request = fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
      handshake.target, handshake.host, base64(nonce));
  if (!handshake.subprotocols.empty()) {
    request +=
        fmt::format("Sec-WebSocket-Protocol: {}\r\n", fmt::join(handshake.subprotocols, ", "));
  }
  if (!handshake.extensions.empty()) {
    request += fmt::format("Sec-WebSocket-Extensions: {}\r\n", handshake.extensions);
  }
  if (!handshake.origin.empty()) {
    request += fmt::format("Origin: {}\r\n", handshake.origin);
  }
  return request + "\r\n";
}

Result<std::string> check_reply(const ClientHandshake& handshake, std::string_view nonce,
                                const HandshakeReply& reply) {
  if (reply.status != 101) {
    return fail(ErrorCode::kHandshakeRefused,
                fmt::format("the server answered HTTP status {}", reply.status));
  }
  // The client compares the whole Upgrade field, the server looks for a token in it.
  if (!equal_without_case(trimmed(reply.upgrade), "websocket") ||
      !has_token(reply.connection, "upgrade")) {
    return fail(ErrorCode::kHandshakeRefused, "the response does not upgrade to websocket");
  }
  if (trimmed(reply.sec_websocket_accept) != accept_key(base64(nonce))) {
    return fail(ErrorCode::kHandshakeRefused, "Sec-WebSocket-Accept does not match the key");
  }
  if (handshake.extensions.empty() && !reply.sec_websocket_extensions.empty()) {
    return fail(ErrorCode::kHandshakeRefused, "the server chose an extension that was not offered");
  }
  const std::string_view protocol = trimmed(reply.sec_websocket_protocol);
  if (!protocol.empty() &&
      std::ranges::find(handshake.subprotocols, protocol) == handshake.subprotocols.end()) {
    return fail(ErrorCode::kHandshakeRefused,
                "the server chose a subprotocol that was not offered");
  }
  return std::string(protocol);
}

}  // namespace trunkline::ws
