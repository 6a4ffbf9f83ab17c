// SPDX-License-Identifier: Apache-2.0
#include "core/assert.h"
#include "core/probe.h"
#include "session/json.h"
#include "session/json_codec.h"
#include "session/session.h"
#include "session/session_inl.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace trunkline::session {

namespace {

// Commands of one client whose home shard has not answered yet.
constexpr std::uint16_t kInFlightMax = 64;

std::uint64_t seconds_until(WallTime time, WallTime now) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(time - now).count();
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(left, 1, 365LL * 24 * 3600));
}

}  // namespace

void write_expiry(JsonText& json, const std::optional<WallTime>& expire_at, WallTime now) {
  if (expire_at.has_value()) {
    json.member("expires").raw("true").member("ttl").number(seconds_until(*expire_at, now));
  }
}

// — input —

bool Session::is_paused() const {
  return exclusive_ || (connecting_ && connecting_->attaching > 0) || in_flight_ >= kInFlightMax ||
         link_.outbox().above_high_water();
}

void Session::on_message(std::span<char> message) {
  if (state_ == State::kEnded) {
    return;
  }
  environment_.stats.received_bytes += message.size();
  std::string_view lines(message.data(), message.size());
  if (lines.ends_with('\n')) {
    lines.remove_suffix(1);
  }
  if (lines.empty()) {
    environment_.log(fmt::format("client {}: an empty message", client_));
    disconnect(kDisconnectBadRequest);
    return;
  }
  if (!waiting_.empty()) {
    waiting_ += '\n';
    waiting_ += lines;
    return;
  }
  process(lines);
}

void Session::resume() {
  if (waiting_.empty() || is_paused() || state_ == State::kEnded) {
    return;
  }
  std::string lines = std::move(waiting_);
  waiting_.clear();
  const std::size_t size = lines.size();
  lines.append(ws::kMessagePadding, '\0');
  process(std::string_view(lines).substr(0, size));
}

void Session::process(std::string_view lines) {
  in_batch_ = true;
  for (bool more = true; more && state_ != State::kEnded;) {
    if (is_paused()) {
      TRUNKLINE_SOMETIMES("commands wait for the outbox");
      waiting_.assign(TRUNKLINE_MUTANT("waiting-commands-lost") ? std::string_view{} : lines);
      break;
    }
    const std::size_t end = lines.find('\n');
    more = end != std::string_view::npos;
    handle_line(lines.substr(0, end));
    lines.remove_prefix(more ? end + 1 : lines.size());
  }
  in_batch_ = false;
  flush_batch();
}

void Session::handle_line(std::string_view line) {
  ++environment_.stats.commands;
  const Result<Command> command = environment_.decoder.decode(line);
  if (!command.has_value()) {
    environment_.log(fmt::format("client {}: {}", client_, command.error().context));
    disconnect(kDisconnectBadRequest);
    return;
  }
  const TimePoint received = environment_.now.monotonic;
  const std::uint16_t before = in_flight_;
  handle(*command, line);
  if (in_flight_ <= before) {
    environment_.stats.command_latency.add(environment_.now.monotonic - received);
  }
}

void Session::handle(const Command& command, std::string_view line) {
  const bool is_connect = std::holds_alternative<ConnectCommand>(command.body);
  if ((state_ == State::kNew) != is_connect || state_ == State::kRefused) {
    environment_.log(fmt::format("client {}: {}", client_,
                                 is_connect ? "a second connect" : "a command before connect"));
    disconnect(kDisconnectBadRequest);
    return;
  }
  if (std::holds_alternative<PongCommand>(command.body)) {
    handle_pong();
    return;
  }
  const bool is_send = std::holds_alternative<SendCommand>(command.body);
  if (command.id == 0 && !is_send) {
    disconnect(kDisconnectBadRequest);
    return;
  }

  if (!within_rate(command)) {
    reply_error(command.id, kErrorTooManyRequests);
    return;
  }

  struct Visitor {
    Session& session;
    std::uint32_t id;
    std::string_view line;

    void operator()(const PongCommand& /*body*/) const {}

    void operator()(const ConnectCommand& body) const { session.connect(id, body); }

    void operator()(const SubscribeCommand& body) const { session.subscribe(id, body, line); }

    void operator()(const UnsubscribeCommand& body) const {
      session.unsubscribe_command(id, body, line);
    }

    void operator()(const PublishCommand& body) const { session.publish(id, body); }

    void operator()(const HistoryCommand& body) const { session.history(id, body); }

    void operator()(const PresenceCommand& body) const {
      session.presence(id, body.channel, false);
    }

    void operator()(const PresenceStatsCommand& body) const {
      session.presence(id, body.channel, true);
    }

    void operator()(const RpcCommand& body) const { session.rpc(id, body); }

    void operator()(const SendCommand& body) const { session.message(body); }

    void operator()(const RefreshCommand& body) const { session.refresh(id, body); }

    void operator()(const SubRefreshCommand& body) const { session.sub_refresh(id, body); }

    void operator()(const UnsupportedCommand& /*body*/) const {
      session.disconnect(kDisconnectBadRequest);
    }
  };

  std::visit(Visitor{*this, command.id, line}, command.body);
}

void Session::on_native_pong() {
  // Unsolicited ones are allowed (RFC 6455, section 5.5.3).
  if (awaiting_pong_ && link_.wants_native_pings()) {
    handle_pong();
  }
}

void Session::handle_pong() {
  if (!awaiting_pong_) {
    environment_.log(fmt::format("client {}: a pong without a ping", client_));
    disconnect(kDisconnectBadRequest);
    return;
  }
  awaiting_pong_ = false;
  pong_due_ = TimePoint::max();
  if (TRUNKLINE_MUTANT("ping-timer-lost")) {
    environment_.timers.disarm(*this);
    return;
  }
  arm();
}

// — refresh —

void Session::refresh(std::uint32_t id, const RefreshCommand& command) {
  if (command.token.empty() || !expire_at_.has_value()) {
    disconnect(kDisconnectBadRequest);
    return;
  }
  const Now& now = environment_.now;
  const Result<ConnectionClaims> claims =
      environment_.authenticator.verify_connection(command.token, now.wall);
  if (!claims.has_value()) {
    disconnect(claims.error().code == ErrorCode::kTokenExpired ? kDisconnectExpired
                                                               : kDisconnectInvalidToken);
    return;
  }
  if (claims->user != user_) {
    disconnect(kDisconnectInvalidToken);
    return;
  }
  if (!has_token_channels(*claims)) {
    // Connecting again, it gets those of the new token.
    disconnect(kDisconnectInsufficientState);
    return;
  }
  expire_at_ = claims->expire_at;
  info_ = claims->info;
  JsonText json;
  json.open().member("client").string(client_);
  json.member("version").string(environment_.options.server_version);
  write_expiry(json, expire_at_, now.wall);
  json.close();
  reply(id, "refresh", json.view());
  arm();
}

void Session::sub_refresh(std::uint32_t id, const SubRefreshCommand& command) {
  if (command.channel.empty()) {
    disconnect(kDisconnectBadRequest);
    return;
  }
  const Entry* entry = find_entry(command.channel);
  if (entry == nullptr || !entry->subscription) {
    reply_error(id, kErrorPermissionDenied);
    return;
  }
  if (entry->from_server || !entry->granted || !entry->granted->expire_at.has_value()) {
    disconnect(kDisconnectBadRequest);
    return;
  }
  if (command.token.empty()) {
    reply_error(id, kErrorBadRequest);
    return;
  }
  const Result<SubscriptionClaims> claims =
      environment_.authenticator.verify_subscription(command.token, environment_.now.wall);
  if (!claims.has_value()) {
    disconnect(claims.error().code == ErrorCode::kTokenExpired ? kDisconnectSubscriptionExpired
                                                               : kDisconnectInvalidToken);
    return;
  }
  if (claims->user != user_ || claims->channel != command.channel ||
      (!claims->client.empty() && claims->client != client_)) {
    disconnect(kDisconnectInvalidToken);
    return;
  }
  entry->granted->info = claims->info;
  entry->granted->expire_at = claims->expire_at;
  JsonText json;
  json.open();
  write_expiry(json, claims->expire_at, environment_.now.wall);
  json.close();
  reply(id, "sub_refresh", json.view());
  arm();
}

// — publish, history, presence —

Asker Session::asker(std::string_view channel) {
  return Asker{.anonymous = user_.empty(),
               .subscribed = find_entry(channel) != nullptr,
               .insecure = environment_.options.client.insecure};
}

const ChannelOptions* Session::usable_channel(std::uint32_t id, std::string_view channel) {
  if (channel.empty()) {
    disconnect(kDisconnectBadRequest);
    return nullptr;
  }
  const ChannelRules& rules = environment_.options.channel;
  if (!is_valid_channel(rules, channel)) {
    reply_error(id, kErrorBadRequest);
    return nullptr;
  }
  const ChannelOptions* options = find_options(rules, channel);
  if (options == nullptr) {
    reply_error(id, kErrorUnknownChannel);
  }
  return options;
}

void Session::publish(std::uint32_t id, const PublishCommand& command) {
  const ChannelOptions* options = usable_channel(id, command.channel);
  if (options == nullptr) {
    return;
  }
  if (command.data.empty() || command.type != 0) {
    reply_error(id, kErrorBadRequest);
    return;
  }
  if (environment_.application != nullptr &&
      environment_.application->decides_publish(command.channel, *options)) {
    ask_publish(id, std::string(command.channel), std::string(command.data));
    return;
  }
  if (!may_publish(*options, asker(command.channel))) {
    reply_error(id, kErrorPermissionDenied);
    return;
  }
  publish_now(id, std::string(command.channel), {.data = std::string(command.data)});
}

void Session::publish_now(std::uint32_t id, const std::string& channel, PublishGrant what) {
  const ChannelOptions* options = find_options(environment_.options.channel, channel);
  TRUNKLINE_ASSERT(options != nullptr);
  const Entry* entry = find_entry(channel);
  hub::PublishRequest request{
      .channel = channel,
      .settings = channel_settings(environment_.options.channel, *options),
      .publication = {.data = std::move(what.data),
                      .info =
                          hub::ClientInfo{client_, user_, info_,
                                          entry != nullptr && entry->granted ? entry->granted->info
                                                                             : std::string{}},
                      .tags = std::move(what.tags)},
      .logged = !what.skip_history,
      .idempotency_key = std::move(what.idempotency_key),
      .done = when_done<Position>(
          id, false, [](Session& session, std::uint32_t reply_id, const Position& /*position*/) {
            session.reply(reply_id, "publish", "{}");
          })};
  environment_.hub.publish(std::move(request), environment_.now.monotonic);
}

void Session::history(std::uint32_t id, const HistoryCommand& command) {
  const ChannelOptions* options = usable_channel(id, command.channel);
  if (options == nullptr) {
    return;
  }
  if (!options->has_history()) {
    reply_error(id, kErrorNotAvailable);
    return;
  }
  if (!may_read_history(*options, asker(command.channel))) {
    reply_error(id, kErrorPermissionDenied);
    return;
  }
  if (command.reverse && command.has_since && command.since_offset == 0) {
    reply_error(id, kErrorBadRequest);
    return;
  }
  const std::size_t limit_max = environment_.options.client.history_max_publication_limit;
  hub::HistoryQuery query{
      .since = {},
      .reverse = command.reverse,
      .limit = limit_max == 0 ? std::numeric_limits<std::size_t>::max() : limit_max};
  if (command.limit >= 0) {
    query.limit = std::min(static_cast<std::size_t>(command.limit), query.limit);
  }
  if (command.has_since) {
    query.since = Position{std::string(command.since_epoch), Offset{command.since_offset}};
  }
  environment_.hub.history(
      {.channel = std::string(command.channel),
       .settings = channel_settings(environment_.options.channel, *options),
       .query = std::move(query),
       .done = when_done<hub::History>(
           id, true,
           [](Session& session, std::uint32_t reply_id, const hub::History& history) {
             JsonText json;
             json.open().member("publications").raw("[").raw(history.publications).raw("]");
             json.member("epoch").string(history.top.epoch);
             json.member("offset").number(history.top.offset.value).close();
             session.reply(reply_id, "history", json.view());
           })},
      environment_.now.monotonic);
}

void Session::presence(std::uint32_t id, std::string_view channel, bool stats_only) {
  const ChannelOptions* options = usable_channel(id, channel);
  if (options == nullptr) {
    return;
  }
  if (!options->presence) {
    reply_error(id, kErrorNotAvailable);
    return;
  }
  if (!may_read_presence(*options, asker(channel))) {
    reply_error(id, kErrorPermissionDenied);
    return;
  }
  if (stats_only) {
    environment_.hub.presence_stats(
        {.channel = std::string(channel),
         .done = when_done<hub::PresenceStats>(
             id, false,
             [](Session& session, std::uint32_t reply_id, const hub::PresenceStats& stats) {
               JsonText json;
               json.open().member("num_clients").number(stats.clients);
               json.member("num_users").number(stats.users).close();
               session.reply(reply_id, "presence_stats", json.view());
             })},
        environment_.now.monotonic);
    return;
  }
  environment_.hub.presence(
      {.channel = std::string(channel),
       .done = when_done<hub::Presence>(
           id, true,
           [](Session& session, std::uint32_t reply_id, const hub::Presence& presence) {
             JsonText json;
             write_presence(json, presence);
             session.reply(reply_id, "presence", json.view());
           })},
      environment_.now.monotonic);
}

}  // namespace trunkline::session
