// SPDX-License-Identifier: Apache-2.0
//
// What the session does with the server's lines.
#include "session/client_requests.h"
#include "ws/close_code.h"

#include <fmt/format.h>

#include <cstring>

namespace trunkline::session {

namespace {

constexpr std::uint32_t kCodeTokenExpired = 109;

// Longer intervals than a day are nobody's wish, and their sum with a time point stays one.
constexpr std::uint32_t kPingSecondsMax = 86'400;
constexpr std::uint32_t kTtlSecondsMax = 365U * 86'400;

ErrorCode error_code_of(std::uint32_t protocol_code) {
  switch (protocol_code) {
    case 101:
      return ErrorCode::kUnauthorized;
    case 102:
      return ErrorCode::kUnknownChannel;
    case 103:
      return ErrorCode::kPermissionDenied;
    case 104:
      return ErrorCode::kNotFound;
    case 105:
      return ErrorCode::kAlreadySubscribed;
    case 106:
      return ErrorCode::kLimitExceeded;
    case 107:
      return ErrorCode::kInvalidArgument;
    case 108:
      return ErrorCode::kUnavailable;
    case 109:
    case 110:
      return ErrorCode::kTokenExpired;
    case 111:
      return ErrorCode::kTooManyRequests;
    case 112:
      return ErrorCode::kUnrecoverablePosition;
    default:
      return ErrorCode::kInternal;
  }
}

// Hands the reply to `done` as the type that it waits for.
template <class T>
void answer(ClientDone<T>& done, Result<T> reply) {
  if (reply.has_value()) {
    done(ClientResult<T>(std::move(*reply)));
  } else {
    done(std::unexpected(ClientError{std::move(reply.error())}));
  }
}

}  // namespace

ClientError client_error(const ServerLine& line) {
  return {{error_code_of(line.code), std::string(line.text)}, line.code, line.is_temporary};
}

Duration ttl_duration(std::uint32_t seconds) {
  return std::chrono::seconds(std::min(seconds, kTtlSecondsMax));
}

void ClientSession::on_transport_message(std::string_view message, TimePoint now) {
  if (transport_state_ != TransportState::kOpen) {
    return;
  }
  heard_ = now;
  const std::uint64_t connection = connection_;
  while (!message.empty()) {
    const void* feed = std::memchr(message.data(), '\n', message.size());
    const std::size_t length =
        feed == nullptr ? message.size()
                        : static_cast<std::size_t>(static_cast<const char*>(feed) - message.data());
    if (length > 0) {
      on_line(message.substr(0, length), now);
      // An event, or the line itself, may have ended this connection.
      if (connection != connection_ || transport_state_ != TransportState::kOpen) {
        return;
      }
    }
    message.remove_prefix(std::min(message.size(), length + 1));
  }
}

void ClientSession::on_line(std::string_view text, TimePoint now) {
  ServerLine line;
  if (const Result<void> decoded = decoder_.decode(text, line); !decoded.has_value()) {
    bad_protocol(decoded.error());
    return;
  }
  switch (line.kind) {
    case ServerLineKind::kPublication:
      if (Subscribed* subscription = find(line.channel);
          subscription != nullptr && subscription->is_subscribed) {
        deliver(*subscription, line.publication, line.epoch);
      } else if (subscription == nullptr && !server_side_.empty()) {
        on_server_line(line);
      }
      break;
    case ServerLineKind::kPing:
      if (pong_ && state_ == State::kConnected) {
        enqueue("{}");
      }
      break;
    case ServerLineKind::kReply:
      on_reply(line, now);
      break;
    default:
      on_push(line, now);
      break;
  }
}

void ClientSession::bad_protocol(const Error& error) {
  transport_.close(ws::kCloseNormal, "bad protocol");
  const std::string reason = error.context;
  end(DisconnectedCode::kBadProtocol, reason);
}

void ClientSession::on_reply(const ServerLine& line, TimePoint now) {
  auto node = pending_.extract(number_of(line.id));
  if (node.empty()) {
    return;  // too late, or of something that was given up
  }
  Pending pending = std::move(node.mapped());
  switch (pending.kind) {
    case CommandKind::kConnect:
      on_connect_reply(line, now);
      break;
    case CommandKind::kRefresh:
      on_refresh_reply(line, now);
      break;
    case CommandKind::kSubscribe:
      if (Subscribed* subscription = find(pending.subscription)) {
        on_subscribe_reply(*subscription, line, now);
      }
      break;
    case CommandKind::kSubRefresh:
      if (Subscribed* subscription = find(pending.subscription)) {
        on_sub_refresh_reply(*subscription, line, now);
      }
      break;
    case CommandKind::kUnsubscribe:
      if (line.code != 0) {
        close_and_lose(ConnectingCode::kUnsubscribeError, "unsubscribe error", now);
      }
      break;
    case CommandKind::kUser:
      on_user_reply(std::move(pending), line);
      break;
  }
}

void ClientSession::on_connect_reply(const ServerLine& line, TimePoint now) {
  if (line.code != 0) {
    const bool wants_token = line.code == kCodeTokenExpired && options_.has_get_token;
    if (wants_token) {
      token_.clear();
    }
    const ClientError error = client_error(line);
    transport_.close(ws::kCloseNormal, "connect error");
    if (!wants_token && !error.is_temporary && error.protocol_code >= 100) {
      end(error.protocol_code, error.context);
      return;
    }
    lose(error.protocol_code, error.context, now);
    events_.on_error(error);
    return;
  }
  const Result<ConnectReply> reply = decoder_.connect(line.result);
  if (!reply.has_value()) {
    bad_protocol(reply.error());
    return;
  }
  state_ = State::kConnected;
  attempts_ = 0;
  pong_ = reply->pong;
  if (reply->ping_seconds > 0) {
    silence_max_ = std::chrono::seconds(std::min(reply->ping_seconds, kPingSecondsMax)) +
                   options_.max_server_ping_delay;
    wake_at(heard_ + silence_max_);
  }
  if (reply->expires && options_.has_get_token) {
    refresh_at_ = now + ttl_duration(reply->ttl_seconds);
    wake_at(refresh_at_);
  }
  send_waiting();
  const std::uint64_t connection = connection_;
  const std::string_view subs = reply->subs;
  events_.on_connected(reply->client, reply->version);
  if (connection == connection_ && state_ == State::kConnected) {
    accept_server_subs(subs);
  }
}

void ClientSession::on_refresh_reply(const ServerLine& line, TimePoint now) {
  if (line.code != 0) {
    const ClientError error = client_error(line);
    if (error.is_temporary) {
      refresh_at_ = now + std::chrono::seconds(5);
      wake_at(refresh_at_);
      events_.on_error(error);
    } else {
      transport_.close(ws::kCloseNormal, "refresh error");
      end(error.protocol_code, error.context);
    }
    return;
  }
  const Result<std::uint32_t> ttl_seconds = decoder_.refresh_ttl(line.result);
  if (!ttl_seconds.has_value()) {
    bad_protocol(ttl_seconds.error());
  } else if (*ttl_seconds > 0) {
    refresh_at_ = now + ttl_duration(*ttl_seconds);
    wake_at(refresh_at_);
  }
}

void ClientSession::on_user_reply(Pending pending, const ServerLine& line) {
  if (line.code != 0) {
    std::visit(
        [&line](auto& done) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(done)>, std::monostate>) {
            done(std::unexpected(client_error(line)));
          }
        },
        pending.done);
  } else if (auto* published = std::get_if<ClientDone<void>>(&pending.done)) {
    (*published)({});
  } else if (auto* called = std::get_if<ClientDone<RpcResult>>(&pending.done)) {
    answer(*called, decoder_.rpc(line.result));
  } else if (auto* history = std::get_if<ClientDone<HistoryResult>>(&pending.done)) {
    answer(*history, decoder_.history(line.result));
  } else if (auto* presence = std::get_if<ClientDone<PresenceResult>>(&pending.done)) {
    answer(*presence, decoder_.presence(line.result));
  } else if (auto* stats = std::get_if<ClientDone<PresenceStats>>(&pending.done)) {
    answer(*stats, decoder_.presence_stats(line.result));
  }
}

void ClientSession::on_push(const ServerLine& line, TimePoint now) {
  if (line.kind == ServerLineKind::kMessage) {
    events_.on_message(line.data);
    return;
  }
  if (line.kind == ServerLineKind::kDisconnect) {
    transport_.close(ws::kCloseNormal, "disconnect push");
    const std::string reason(line.text);
    transport_state_ = TransportState::kNone;
    on_disconnect_code(line.code, reason, now);
    return;
  }
  Subscribed* subscription = find(line.channel);
  if (subscription == nullptr && state_ == State::kConnected) {
    on_server_line(line);
    return;
  }
  if (subscription == nullptr || !subscription->is_subscribed) {
    return;
  }
  if (line.kind == ServerLineKind::kJoin) {
    subscription->events->on_join(line.info);
  } else if (line.kind == ServerLineKind::kLeave) {
    subscription->events->on_leave(line.info);
  } else if (line.kind == ServerLineKind::kGap) {
    // What follows is in order again.
    subscription->position.offset = std::max(subscription->position.offset, line.gap.to);
    subscription->events->on_gap(line.gap);
  } else if (line.kind == ServerLineKind::kUnsubscribe) {
    on_unsubscribe_push(*subscription, line, now);
  }
}

}  // namespace trunkline::session
