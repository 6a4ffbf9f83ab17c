// SPDX-License-Identifier: Apache-2.0
//
// Who a client is, by its token (JWT). The session asks; server/ answers with a library's verifier,
// a test with a table.
#pragma once

#include <trunkline/error.h>

#include "core/time.h"
#include "session/server_channel.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

// What a connection token says.
struct ConnectionClaims {
  std::string user;                       // `sub`; empty: anonymous
  std::string info;                       // raw JSON, empty for none
  std::optional<WallTime> expire_at;      // when the connection must have been refreshed
  std::vector<ServerChannel> channels{};  // `channels` and `subs`: server-side subscriptions
  std::string meta{};                     // raw JSON that clients are not told; empty: none
};

// What a subscription token says.
struct SubscriptionClaims {
  std::string user;  // `sub`, must equal the connection's user
  std::string channel;
  std::string client;  // empty: any
  std::string info;    // raw JSON, empty for none
  std::optional<WallTime> expire_at;
};

// Immutable after construction; every method may be called from every shard.
class Authenticator {
 public:
  Authenticator() = default;
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;
  virtual ~Authenticator() = default;

  // Errors of both: kTokenExpired; kTokenInvalid for a bad signature, a missing or wrong claim, an
  // algorithm that no key is configured for. The context is for the log, not for the client.
  [[nodiscard]] virtual Result<ConnectionClaims> verify_connection(std::string_view token,
                                                                   WallTime now) const = 0;
  [[nodiscard]] virtual Result<SubscriptionClaims> verify_subscription(std::string_view token,
                                                                       WallTime now) const = 0;
};

}  // namespace trunkline::session
