// SPDX-License-Identifier: Apache-2.0
#include <trunkline/error.h>

namespace trunkline {

Reaction reaction(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal:
    case ErrorCode::kInvalidArgument:
      return Reaction::kBug;
    case ErrorCode::kClosed:
    case ErrorCode::kTimeout:
    case ErrorCode::kLimitExceeded:
    case ErrorCode::kUnavailable:
    case ErrorCode::kTooManyRequests:
    case ErrorCode::kSystem:
      return Reaction::kRetry;
    case ErrorCode::kConfig:
      return Reaction::kConfig;
    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kProtocolError:
    case ErrorCode::kInvalidPayload:
    case ErrorCode::kMessageTooBig:
    case ErrorCode::kHandshakeRefused:
    case ErrorCode::kMalformed:
    case ErrorCode::kUnauthorized:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kTokenExpired:
    case ErrorCode::kTokenInvalid:
    case ErrorCode::kUnknownChannel:
    case ErrorCode::kAlreadySubscribed:
    case ErrorCode::kUnrecoverablePosition:
    case ErrorCode::kEpochMismatch:
      return Reaction::kPeer;
  }
  return Reaction::kBug;
}

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInternal:
      return "internal";
    case ErrorCode::kClosed:
      return "closed";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kLimitExceeded:
      return "limit_exceeded";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kProtocolError:
      return "protocol_error";
    case ErrorCode::kInvalidPayload:
      return "invalid_payload";
    case ErrorCode::kMessageTooBig:
      return "message_too_big";
    case ErrorCode::kHandshakeRefused:
      return "handshake_refused";
    case ErrorCode::kMalformed:
      return "malformed";
    case ErrorCode::kUnauthorized:
      return "unauthorized";
    case ErrorCode::kPermissionDenied:
      return "permission_denied";
    case ErrorCode::kTokenExpired:
      return "token_expired";
    case ErrorCode::kTokenInvalid:
      return "token_invalid";
    case ErrorCode::kUnknownChannel:
      return "unknown_channel";
    case ErrorCode::kAlreadySubscribed:
      return "already_subscribed";
    case ErrorCode::kTooManyRequests:
      return "too_many_requests";
    case ErrorCode::kUnrecoverablePosition:
      return "unrecoverable_position";
    case ErrorCode::kEpochMismatch:
      return "epoch_mismatch";
    case ErrorCode::kConfig:
      return "config";
    case ErrorCode::kSystem:
      return "system";
  }
  return "unknown";
}

std::string to_string(const Error& error) {
  std::string text(name(error.code));
  if (!error.context.empty()) {
    text += ": ";
    text += error.context;
  }
  return text;
}

}  // namespace trunkline
