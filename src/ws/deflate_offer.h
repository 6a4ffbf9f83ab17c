// SPDX-License-Identifier: Apache-2.0
//
// The negotiation of permessage-deflate (RFC 7692, section 7.1) as the text of
// Sec-WebSocket-Extensions (RFC 6455, section 9.1), both roles. The text must hold to the grammar,
// or the handshake fails; an offer that cannot be served is declined, which is no error.
#pragma once

#include <trunkline/error.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::ws {

// The range of the two *_max_window_bits: base-2 logarithm of the LZ77 sliding window in bytes.
inline constexpr std::uint8_t kWindowBitsMin = 8;
inline constexpr std::uint8_t kWindowBitsMax = 15;

// The four parameters of section 7.1. As options they are what this side wants at most; as an
// agreement they are what both sides hold to. `server_…` is about what the server sends,
// `client_…` about what the client sends. The defaults are the RFC's: nothing restricted. A sender
// with context takeover costs up to 256 KiB a connection, a receiver with it about 40 KiB.
struct DeflateParameters {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  std::uint8_t server_max_window_bits = kWindowBitsMax;
  std::uint8_t client_max_window_bits = kWindowBitsMax;

  friend bool operator==(const DeflateParameters&, const DeflateParameters&) = default;
};

// What a server agreed to.
struct DeflateAgreement {
  DeflateParameters parameters;
  std::string answer;  // value of the response's Sec-WebSocket-Extensions
};

// Server role: picks the first acceptable offer of permessage-deflate among `extensions`, the value
// of the request's Sec-WebSocket-Extensions (several header lines joined with ", "; empty when
// there was none), narrowed by `options`. Extensions of other names are skipped. An offer is
// declined when a parameter is unknown, repeated or has a bad value (section 7.1), or when the
// client would keep a larger window than options.client_max_window_bits and does not let us say so.
// No acceptable offer: nullopt; the response then has no such header. Error: kHandshakeRefused when
// the text breaks the grammar, upon which the handshake has to fail (RFC 6455, section 9.1).
// Window bits outside 8–15 in `options` count as the nearest that are inside.
[[nodiscard]] Result<std::optional<DeflateAgreement>> accept_deflate(
    std::string_view extensions, const DeflateParameters& options);

// Client role: one offer, the value of the request's Sec-WebSocket-Extensions. It always lets the
// server restrict our window (client_max_window_bits).
[[nodiscard]] std::string offer_deflate(const DeflateParameters& options);

// Client role: checks the server's answer to offer_deflate(options). `extensions` is the value of
// the response's Sec-WebSocket-Extensions, empty when there was none: the server declined, nullopt.
// Errors: kHandshakeRefused when the text breaks the grammar, names anything that was not offered
// or names it twice, has a parameter that is unknown, repeated or ill-valued, or grants less than
// the offer demanded (sections 7.1.1 and 7.1.2): the connection has to fail.
[[nodiscard]] Result<std::optional<DeflateParameters>> check_deflate_answer(
    std::string_view extensions, const DeflateParameters& options);

}  // namespace trunkline::ws
