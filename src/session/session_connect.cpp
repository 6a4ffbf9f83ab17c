// SPDX-License-Identifier: Apache-2.0
//
// How a conversation begins: the connect command, until the session is connected or refused.
#include "session/json.h"
#include "session/session.h"
#include "session/session_inl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::session {

void Session::connect(std::uint32_t id, const ConnectCommand& command) {
  const ClientOptions& options = environment_.options.client;
  remember_asked(command.subs);
  keep_headers(command);
  client_ = environment_.random.uuid();
  if (command.token.empty()) {
    const bool asks =
        environment_.application != nullptr && environment_.application->decides_connect(false);
    if (!asks && !options.insecure && !options.allow_anonymous_connect_without_token) {
      environment_.log(
          "a client without a token was refused (3501); give it a connection token, or set "
          "client.allow_anonymous_connect_without_token or client.insecure");
      disconnect(kDisconnectBadRequest);
      return;
    }
    ask_connect(id, command, ConnectionClaims{});
    return;
  }
  const Result<ConnectionClaims> claims =
      environment_.authenticator.verify_connection(command.token, environment_.now.wall);
  if (!claims.has_value()) {
    environment_.log(fmt::format("a connection token was refused: {}", to_string(claims.error())));
    if (claims.error().code == ErrorCode::kTokenExpired) {
      state_ = State::kRefused;
      reply_error(id, kErrorTokenExpired);
    } else {
      disconnect(kDisconnectInvalidToken);
    }
    return;
  }
  if (claims->user.empty() && options.disallow_anonymous_connection_tokens) {
    disconnect(kDisconnectPermissionDenied);
    return;
  }
  note_token_channels(*claims);
  keep_meta(claims->meta);
  ask_connect(id, command, *claims);
}

// A user's other connections may live on any shard. The answer may take its time: commands that
// come meanwhile wait, as they do for a large answer.
void Session::authenticated(std::uint32_t id, const ConnectionClaims& claims, std::string data) {
  const std::size_t limit = environment_.options.client.user_connection_limit;
  if (limit == 0 || claims.user.empty() || environment_.users == nullptr) {
    connected(id, claims, data);
    return;
  }
  ++in_flight_;
  exclusive_ = true;
  environment_.users->acquire(
      claims.user, limit,
      [&environment = environment_, session_id = id_, id, claims, data = std::move(data),
       received = environment_.now.monotonic](bool counted) {
        Session* session = environment.registry.find(session_id);
        if (session == nullptr || session->state_ != State::kNew) {
          if (counted) {
            environment.users->release(claims.user);
          }
          return;
        }
        session->user_ = claims.user;
        session->counted_ = counted;
        if (counted) {
          session->connected(id, claims, data);
        } else {
          session->log_limit(
              Limit::kUserConnections,
              "was closed (3504): its user has client.user_connection_limit already");
          session->disconnect(kDisconnectConnectionLimit);
        }
        session->answered(received, true);
      });
}

void Session::connected(std::uint32_t id, const ConnectionClaims& claims, std::string_view data) {
  user_ = claims.user;
  info_ = claims.info;
  attach_at_connect(id, claims, data);
}

// `subs`: results of server-side subscriptions, by channel; empty: none.
void Session::write_connected(std::uint32_t id, const ConnectionClaims& claims,
                              std::string_view data, std::string_view subs) {
  const ClientOptions& options = environment_.options.client;
  const Now& now = environment_.now;
  state_ = State::kConnected;
  expire_at_ = claims.expire_at;
  environment_.registry.add_user(user_, id_);
  ++environment_.stats.connected;
  if (!options.command_rates.empty() || !options.error_rates.empty()) {
    rates_ =
        std::make_unique<Rates>(Rates{{options.command_rates.begin(), options.command_rates.end()},
                                      {options.error_rates.begin(), options.error_rates.end()}});
  }

  JsonText json;
  json.open().member("client").string(client_);
  json.member("version").string(environment_.options.server_version);
  if (!data.empty()) {
    json.member("data").raw(data);
  }
  if (!subs.empty()) {
    json.member("subs").raw(subs);
  }
  if (!refreshes_itself()) {
    write_expiry(json, expire_at_, now.wall);
  }
  if (options.ping_interval > Duration{0}) {
    // The first one in the upper half of the interval, so that a herd is spread.
    const auto half = static_cast<std::uint64_t>(options.ping_interval.count()) / 2;
    ping_at_ = now.monotonic +
               Duration(static_cast<Duration::rep>(half + environment_.random.below(half + 1)));
    if (!link_.wants_native_pings()) {
      json.member("ping").number(static_cast<std::uint64_t>(std::max<std::int64_t>(
          1, std::chrono::ceil<std::chrono::seconds>(options.ping_interval).count())));
      json.member("pong").raw("true");
    }
  }
  if (options.connect_include_server_time) {
    json.member("time").number(static_cast<std::uint64_t>(now.wall.time_since_epoch().count()));
  }
  json.close();
  reply(id, "connect", json.view());
  arm();
}

}  // namespace trunkline::session
