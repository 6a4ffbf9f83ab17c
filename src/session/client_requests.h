// SPDX-License-Identifier: Apache-2.0
//
// What ClientSession's own source files share.
#pragma once

#include "session/client_session.h"

namespace trunkline::session {

// The error that a reply carries; its code must not be 0.
[[nodiscard]] ClientError client_error(const ServerLine& line);

// A time to live of the server's, cut to a year.
[[nodiscard]] Duration ttl_duration(std::uint32_t seconds);

// Numbers the command, writes it with write(out, id) and remembers it until its reply.
template <class Write>
std::uint64_t ClientSession::issue(CommandKind kind, SubscriptionId subscription, TimePoint now,
                                   Write write) {
  const std::uint64_t number = next_number();
  std::string command;
  write(command, static_cast<std::uint32_t>(number));
  Pending& pending = pending_[number];
  pending.kind = kind;
  pending.subscription = subscription;
  pending.deadline = now + options_.command_timeout;
  wake_at(pending.deadline);
  if (kind != CommandKind::kUser || state_ == State::kConnected) {
    enqueue(command);
  } else {
    pending.unsent = std::move(command);
  }
  return number;
}

template <class T, class Write>
void ClientSession::user_command(ClientDone<T> done, TimePoint now, Write write) {
  if (std::optional<ClientError> refused = refusal()) {
    done(std::unexpected(std::move(*refused)));
    return;
  }
  const std::uint64_t number = issue(CommandKind::kUser, {}, now, write);
  pending_[number].done = std::move(done);
}

}  // namespace trunkline::session
