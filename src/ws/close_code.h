// SPDX-License-Identifier: Apache-2.0
//
// Close codes: RFC 6455, section 7.4, and their ranges.
#pragma once

#include <trunkline/error.h>

#include <cstdint>

namespace trunkline::ws {

using CloseCode = std::uint16_t;

inline constexpr CloseCode kCloseNormal = 1000;
inline constexpr CloseCode kCloseGoingAway = 1001;
inline constexpr CloseCode kCloseProtocolError = 1002;
inline constexpr CloseCode kCloseUnsupportedData = 1003;
inline constexpr CloseCode kCloseNoStatus = 1005;  // never on the wire
inline constexpr CloseCode kCloseAbnormal = 1006;  // never on the wire
inline constexpr CloseCode kCloseInvalidPayload = 1007;
inline constexpr CloseCode kClosePolicyViolation = 1008;
inline constexpr CloseCode kCloseMessageTooBig = 1009;
inline constexpr CloseCode kCloseInternalError = 1011;

// A close frame's reason holds at most this many bytes of UTF-8 (section 5.5: 125 less the code).
inline constexpr std::size_t kCloseReasonBytesMax = 123;

// Whether a peer may send the code in a Close frame (section 7.4.2 and the registry of IANA:
// 1000–1003, 1007–1014, 3000–4999).
[[nodiscard]] bool may_be_sent(CloseCode code);

// The close code that answers an error of this room: kProtocolError 1002, kInvalidPayload 1007,
// kMessageTooBig 1009, anything else 1011.
[[nodiscard]] CloseCode close_code(ErrorCode code);

}  // namespace trunkline::ws
