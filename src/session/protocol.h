// SPDX-License-Identifier: Apache-2.0
//
// The client protocol's codes. A disconnect's code is also the WebSocket close code, and its reason
// is never empty: the JavaScript SDK honours a terminal code only with a text that is not JSON.
#pragma once

#include <cstdint>
#include <string_view>

namespace trunkline::session {

struct ErrorReply {
  std::uint32_t code;
  std::string_view message;
  bool temporary = false;
};

inline constexpr ErrorReply kErrorInternal{100, "internal server error", true};
// The client cannot do anything about it and may try again: the memory limit.
inline constexpr ErrorReply kErrorOutOfMemory{100, "the server is short of memory", true};
inline constexpr ErrorReply kErrorUnauthorized{101, "unauthorized"};
inline constexpr ErrorReply kErrorUnknownChannel{102, "unknown channel"};
inline constexpr ErrorReply kErrorPermissionDenied{103, "permission denied"};
inline constexpr ErrorReply kErrorMethodNotFound{104, "method not found"};
inline constexpr ErrorReply kErrorAlreadySubscribed{105, "already subscribed"};
inline constexpr ErrorReply kErrorLimitExceeded{106, "limit exceeded"};
inline constexpr ErrorReply kErrorBadRequest{107, "bad request"};
inline constexpr ErrorReply kErrorNotAvailable{108, "not available"};
inline constexpr ErrorReply kErrorTokenExpired{109, "token expired"};
inline constexpr ErrorReply kErrorExpired{110, "expired"};
inline constexpr ErrorReply kErrorTooManyRequests{111, "too many requests", true};
inline constexpr ErrorReply kErrorUnrecoverablePosition{112, "unrecoverable position"};

// 3000–3499: the client reconnects; 3500–3999: it does not.
struct Disconnect {
  std::uint16_t code;
  std::string_view reason;
};

inline constexpr Disconnect kDisconnectClosed{3000, "connection closed"};
inline constexpr Disconnect kDisconnectShutdown{3001, "shutdown"};
inline constexpr Disconnect kDisconnectServerError{3004, "internal server error"};
inline constexpr Disconnect kDisconnectExpired{3005, "connection expired"};
inline constexpr Disconnect kDisconnectSubscriptionExpired{3006, "subscription expired"};
inline constexpr Disconnect kDisconnectSlow{3008, "slow"};
inline constexpr Disconnect kDisconnectWriteError{3009, "write error"};
inline constexpr Disconnect kDisconnectInsufficientState{3010, "insufficient state"};
inline constexpr Disconnect kDisconnectForceReconnect{3011, "force reconnect"};
inline constexpr Disconnect kDisconnectNoPong{3012, "no pong"};
inline constexpr Disconnect kDisconnectTooManyRequests{3013, "too many requests"};
inline constexpr Disconnect kDisconnectInvalidToken{3500, "invalid token"};
inline constexpr Disconnect kDisconnectBadRequest{3501, "bad request"};
inline constexpr Disconnect kDisconnectStale{3502, "stale"};
inline constexpr Disconnect kDisconnectForce{3503, "force disconnect"};
inline constexpr Disconnect kDisconnectConnectionLimit{3504, "connection limit"};
inline constexpr Disconnect kDisconnectChannelLimit{3505, "channel limit"};
inline constexpr Disconnect kDisconnectInappropriateProtocol{3506, "inappropriate protocol"};
inline constexpr Disconnect kDisconnectPermissionDenied{3507, "permission denied"};
inline constexpr Disconnect kDisconnectNotAvailable{3508, "not available"};
inline constexpr Disconnect kDisconnectTooManyErrors{3509, "too many errors"};

// Below 2500 the client stays unsubscribed, from 2500 it subscribes again.
struct Unsubscribe {
  std::uint32_t code;
  std::string_view reason;
};

inline constexpr Unsubscribe kUnsubscribeServer{2000, "server unsubscribe"};
inline constexpr Unsubscribe kUnsubscribeInsufficientState{2500, "insufficient state"};
inline constexpr Unsubscribe kUnsubscribeExpired{2501, "subscription expired"};

}  // namespace trunkline::session
