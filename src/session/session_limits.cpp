// SPDX-License-Identifier: Apache-2.0
//
// How often one client may ask. A command above the rate is answered with an error that the client
// may try again after (111), and nothing else happens; who goes on to collect errors is ended
// (3509).
#include "session/session.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::session {

// A refused command takes nothing from any bucket. An unsubscribe is counted and never refused: it
// gives back what others could use, and SDKs take an error in its place for a broken server.
bool Session::within_rate(const Command& command) {
  if (!rates_) {
    return true;
  }
  const TimePoint now = environment_.now.monotonic;
  const bool may_be_refused =
      command.id != 0 && !std::holds_alternative<UnsubscribeCommand>(command.body);
  const bool fits = std::ranges::all_of(
      rates_->commands, [now](const TokenBucket& bucket) { return bucket.has(now); });
  if (may_be_refused && !fits) {
    ++environment_.stats.refused_commands;
    log_limit(Limit::kCommandRate,
              "sends too many commands (111): client.rate_limit.client_command is exceeded");
    return false;
  }
  for (TokenBucket& bucket : rates_->commands) {
    bucket.charge(now);
  }
  return true;
}

void Session::count_error() {
  if (!rates_ || state_ != State::kConnected) {
    return;
  }
  const TimePoint now = environment_.now.monotonic;
  const bool fits = std::ranges::all_of(
      rates_->errors, [now](const TokenBucket& bucket) { return bucket.has(now); });
  if (!fits) {
    log_limit(Limit::kErrorRate,
              "was closed (3509) for too many errors: client.rate_limit.client_error is exceeded");
    end_soon(kDisconnectTooManyErrors);
    return;
  }
  for (TokenBucket& bucket : rates_->errors) {
    bucket.charge(now);
  }
}

void Session::log_limit(Limit limit, std::string_view what) {
  if (const auto held_back = environment_.limit_log.pass(limit, environment_.now.monotonic)) {
    environment_.log(fmt::format("client {} {}{}", client_.empty() ? "without a name" : client_,
                                 what, *held_back));
  }
}

}  // namespace trunkline::session
