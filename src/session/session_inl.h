// SPDX-License-Identifier: Apache-2.0
//
// What the source files of Session share.
#pragma once

#include "session/json.h"
#include "session/session.h"

#include <optional>
#include <utility>

namespace trunkline::session {

// `expires` and `ttl` (seconds) for something that expires; nothing otherwise.
void write_expiry(JsonText& json, const std::optional<WallTime>& expire_at, WallTime now);

// The protocol's error for one of ours.
[[nodiscard]] inline ErrorReply error_reply(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnrecoverablePosition:
      return kErrorUnrecoverablePosition;
    case ErrorCode::kLimitExceeded:
      return kErrorOutOfMemory;
    default:
      return kErrorInternal;
  }
}

template <class T, class Then>
hub::Done<T> Session::when_done(std::uint32_t id, bool exclusive, Then then) {
  ++in_flight_;
  exclusive_ = exclusive_ || exclusive;
  return [&environment = environment_, session_id = id_, id, exclusive,
          received = environment_.now.monotonic, then = std::move(then)](Result<T> result) mutable {
    Session* session = environment.registry.find(session_id);
    if (session == nullptr || session->state_ == State::kEnded) {
      return;
    }
    if (result.has_value()) {
      then(*session, id, std::move(*result));
    } else {
      session->reply_error(id, error_reply(result.error()));
    }
    session->answered(received, exclusive);
  };
}

}  // namespace trunkline::session
