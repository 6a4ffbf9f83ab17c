// SPDX-License-Identifier: Apache-2.0
//
// API methods that act on the connections of a user, wherever they are.
#include "server/api_methods.h"
#include "server/base64.h"
#include "server/core.h"
#include "server/user_sessions.h"
#include "session/json.h"

#include <optional>
#include <utility>

namespace trunkline::server {

namespace {

UserSelection read_selection(ApiParams& params) {
  UserSelection selection{.user = params.text("user"), .client = params.text("client")};
  params.require("user (or, for an anonymous client, 'client')", !selection.empty());
  return selection;
}

// `name` (JSON), or what b64name holds; absent: empty.
std::string read_json(ApiParams& params, const std::string& name) {
  const std::string* const value = params.raw(name);
  if (value != nullptr && *value != "null") {
    return *value;
  }
  const std::string encoded = params.text("b64" + name);
  if (encoded.empty()) {
    return {};
  }
  const std::optional<std::string> bytes = decode_base64(encoded);
  std::optional<std::string> checked = bytes.has_value() ? checked_json(*bytes) : std::nullopt;
  params.require("b64" + name + " holding JSON", checked.has_value());
  return std::move(checked).value_or("");
}

std::optional<ApiError> read_position(ApiParams& params, std::optional<Position>& out) {
  const std::string* const since = params.raw("recover_since");
  if (since == nullptr) {
    return std::nullopt;
  }
  ApiParams position(*since);
  const std::int64_t offset = position.integer("offset");
  out = Position{position.text("epoch"), Offset{static_cast<std::uint64_t>(offset)}};
  return position.error().has_value() || offset < 0
             ? std::optional(api_bad_request("'recover_since' is not a position"))
             : std::nullopt;
}

void act(const ApiContext& context, UserSelection selection,
         std::function<bool(session::Session&)> action, ApiDone done) {
  with_sessions(context.core.runtime(), context.shard.self(), std::move(selection),
                std::move(action),
                [done = std::move(done)](std::size_t /*count*/) mutable { done("{}"); });
}

}  // namespace

void api_subscribe(const ApiContext& context, ApiParams params, ApiDone done) {
  UserSelection selection = read_selection(params);
  session::ServerChannel channel{.channel = params.text("channel")};
  params.require("channel", !channel.channel.empty());
  channel.info = read_json(params, "info");
  channel.data = read_json(params, "data");
  const std::int64_t expire_at = params.integer("expire_at");
  std::optional<ApiError> wrong = read_position(params, channel.since);
  for (const char* unknown : {"session", "override"}) {
    if (params.raw(unknown) != nullptr) {
      wrong = api_bad_request("'" + std::string(unknown) + "' is not supported");
    }
  }
  // Beyond the year 9999 a time in milliseconds might not fit.
  constexpr std::int64_t kLatest = 253'402'300'799;
  if (expire_at < 0 || expire_at > kLatest) {
    wrong = api_bad_request("'expire_at' must be seconds since 1970");
  }
  if (params.error().has_value() || wrong.has_value()) {
    done(std::unexpected(params.error().has_value() ? *params.error() : *wrong));
    return;
  }
  if (expire_at > 0) {
    channel.expire_at = WallTime(std::chrono::seconds(expire_at));
  }
  if (!context.core.settings(channel.channel).has_value()) {
    done(std::unexpected(kApiNamespaceNotFound));
    return;
  }
  act(
      context, std::move(selection),
      [channel = std::move(channel)](session::Session& session) {
        return session.subscribe_from_server(channel);
      },
      std::move(done));
}

void api_unsubscribe(const ApiContext& context, ApiParams params, ApiDone done) {
  UserSelection selection = read_selection(params);
  const std::string channel = params.text("channel");
  params.require("channel", !channel.empty());
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  act(
      context, std::move(selection),
      [channel](session::Session& session) {
        return session.unsubscribe(channel, session::kUnsubscribeServer);
      },
      std::move(done));
}

void api_send(const ApiContext& context, ApiParams params, ApiDone done) {
  UserSelection selection = read_selection(params);
  const std::string data = read_json(params, "data");
  params.require("data", !data.empty());
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  with_sessions(
      context.core.runtime(), context.shard.self(), std::move(selection),
      [data](session::Session& session) { return session.send(data); },
      [done = std::move(done)](std::size_t count) mutable {
        session::JsonText json;
        json.open().member("clients").number(count).close();
        done(json.take());
      });
}

void api_disconnect(const ApiContext& context, ApiParams params, ApiDone done) {
  UserSelection selection = read_selection(params);
  selection.spared = params.texts("whitelist");
  std::uint16_t code = session::kDisconnectForce.code;
  std::string reason(session::kDisconnectForce.reason);
  if (const std::string* custom = params.raw("disconnect")) {
    ApiParams fields(*custom);
    const std::int64_t given = fields.integer("code");
    const std::string words = fields.text("reason");
    // A close code that a client can act on, with a reason: SDKs ignore a code without words.
    if (fields.error().has_value() || given < 3000 || given > 4999) {
      done(std::unexpected(api_bad_request("'disconnect.code' must be 3000 to 4999")));
      return;
    }
    code = static_cast<std::uint16_t>(given);
    reason = words.empty() ? "disconnected by the server" : words;
  }
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  act(
      context, std::move(selection),
      [code, reason](session::Session& session) {
        session.disconnect(code, reason);
        return true;
      },
      std::move(done));
}

}  // namespace trunkline::server
