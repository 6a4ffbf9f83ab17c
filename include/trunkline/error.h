// SPDX-License-Identifier: Apache-2.0
//
// Errors are values. A function that can fail returns Result<T>; nothing here throws, and no
// exception crosses a room's border. The code says precisely what happened, the reaction says what
// the one who gets it can do about it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline {

// What happened. Grouped by the room that reports it; the numbers are not on any wire.
enum class ErrorCode : std::uint16_t {
  // General
  kInternal = 1,
  kClosed,           // the object, connection or server has ended
  kTimeout,          // a deadline passed
  kLimitExceeded,    // a configured limit was reached; the context names it
  kUnavailable,      // the feature is off, or the other side cannot be reached now
  kInvalidArgument,  // the caller broke the function's contract
  kNotFound,
  kAlreadyExists,  // there is one already, and there may be only one

  // WebSocket (RFC 6455)
  kProtocolError,   // close code 1002
  kInvalidPayload,  // close code 1007: text that is not UTF-8
  kMessageTooBig,   // close code 1009
  kHandshakeRefused,

  // Client protocol
  kMalformed,  // bytes that are not a command, reply or document
  kUnauthorized,
  kPermissionDenied,
  kTokenExpired,
  kTokenInvalid,
  kUnknownChannel,
  kAlreadySubscribed,
  kTooManyRequests,

  // Replay
  kUnrecoverablePosition,  // the log no longer holds what follows the position
  kEpochMismatch,          // the position belongs to another epoch

  // Configuration, operating system
  kConfig,
  kSystem,
};

// What the one who gets the error can do.
enum class Reaction : std::uint8_t {
  kBug,     // ours: log it, close the one connection or call
  kPeer,    // the peer broke a rule: tell it, with an error or close code
  kRetry,   // later, or elsewhere
  kConfig,  // the operator has to change something
};

// An error: precise code and a short text with who, which value and which limit.
// Cheap to move. Immutable after construction.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string context;
};

template <class T>
using Result = std::expected<T, Error>;

// Makes the failing side of a Result. Thread: any.
[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string context) {
  return std::unexpected<Error>(Error{code, std::move(context)});
}

// The reaction that a code asks for. Thread: any.
[[nodiscard]] Reaction reaction(ErrorCode code);

// A stable lower-case name of the code, for logs and metrics. Thread: any.
[[nodiscard]] std::string_view name(ErrorCode code);

// "name: context", for logs and terminals. Thread: any.
[[nodiscard]] std::string to_string(const Error& error);

}  // namespace trunkline
