// SPDX-License-Identifier: Apache-2.0
//
// The opening handshake (RFC 6455, section 4) as fields, both roles. Reading HTTP from a socket is
// net/'s.
#pragma once

#include <trunkline/error.h>

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::ws {

// The fields of a client's request that matter; an absent header is empty.
struct HandshakeRequest {
  std::string_view method;     // "GET"
  unsigned http_version = 11;  // 11 is HTTP/1.1
  std::string_view host;
  std::string_view upgrade;     // list of tokens
  std::string_view connection;  // list of tokens
  std::string_view sec_websocket_key;
  std::string_view sec_websocket_version;
  std::string_view sec_websocket_protocol;  // list of subprotocols, in the client's order
};

struct HandshakeResponse {
  std::string accept;       // Sec-WebSocket-Accept
  std::string subprotocol;  // chosen one, empty for none
};

// What to answer a request that is refused: an HTTP status, a text that is safe to show, and for
// 426 the versions that are spoken.
struct HandshakeRefusal {
  int status = 400;
  std::string reason;
};

// Checks a request by section 4.2.1 and picks the first of the client's subprotocols that is in
// `supported`. No match is no error: the response then names none (section 4.2.2).
[[nodiscard]] std::expected<HandshakeResponse, HandshakeRefusal> accept_handshake(
    const HandshakeRequest& request, const std::vector<std::string_view>& supported);

// Sec-WebSocket-Accept for a key (section 4.2.2, item 5.4).
[[nodiscard]] std::string accept_key(std::string_view key);

// What a client's request says.
struct ClientHandshake {
  std::string host;          // with port when it is not the default
  std::string target = "/";  // a path with query
  std::vector<std::string> subprotocols;
  std::string origin;           // empty: none
  std::string extensions = {};  // the offer, as of offer_deflate; empty: none
};

// Client role: the request's bytes. `nonce` is 16 random bytes. Error: kInvalidArgument when a
// field would end its line or the request and smuggle in what nobody meant to send: a control
// character (CR, LF, NUL and their like) anywhere, a space in the target or the host, or no target
// at all.
[[nodiscard]] Result<std::string> make_request(const ClientHandshake& handshake,
                                               std::string_view nonce);

// Client role: checks the response of section 4.1. Returns the chosen subprotocol. An answer to
// handshake.extensions is left to check_deflate_answer; one to no offer is refused here.
struct HandshakeReply {
  int status = 0;
  std::string_view upgrade;
  std::string_view connection;
  std::string_view sec_websocket_accept;
  std::string_view sec_websocket_protocol;
  std::string_view sec_websocket_extensions;
};

[[nodiscard]] Result<std::string> check_reply(const ClientHandshake& handshake,
                                              std::string_view nonce, const HandshakeReply& reply);

}  // namespace trunkline::ws
