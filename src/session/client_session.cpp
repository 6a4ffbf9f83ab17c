// SPDX-License-Identifier: Apache-2.0
#include "session/client_session.h"

#include "session/client_requests.h"
#include "ws/close_code.h"

#include <algorithm>

namespace trunkline::session {

namespace {

constexpr std::uint16_t kCloseMessageTooBig = 1009;
constexpr std::uint32_t kStateInvalidated = 3014;

bool is_terminal(std::uint32_t code) {
  return (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

void fail_one(ClientReplyDone& reply_done, const ClientError& error) {
  std::visit(
      [&error](auto& done) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(done)>, std::monostate>) {
          done(std::unexpected(error));
        }
      },
      reply_done);
}

}  // namespace

ClientSession::ClientSession(const ClientSessionOptions& options, ServerLineDecoder& decoder,
                             Random random, ClientTransport& transport, ClientEvents& events)
    : options_(options),
      decoder_(decoder),
      transport_(transport),
      events_(events),
      random_(random),
      token_(options.token) {}

void ClientSession::connect(TimePoint now) {
  if (state_ != State::kDisconnected) {
    return;
  }
  state_ = State::kConnecting;
  attempts_ = 0;
  const std::uint64_t connection = connection_;
  events_.on_connecting(ConnectingCode::kConnectCalled, "connect called");
  if (state_ == State::kConnecting && connection == connection_) {
    start_attempt(now);
  }
}

void ClientSession::start_attempt(TimePoint now) {
  reconnect_at_ = TimePoint::max();
  if (token_.empty() && options_.has_get_token) {
    request_token(TokenUse::kConnect);
    return;
  }
  ++connection_;
  transport_state_ = TransportState::kOpening;
  connect_deadline_ = now + options_.connect_timeout;
  wake_at(connect_deadline_);
  transport_.open();
}

void ClientSession::request_token(TokenUse use) {
  token_use_ = use;
  token_ticket_ = ++last_ticket_;
  events_.on_token_needed(token_ticket_);
}

void ClientSession::on_token(std::uint64_t ticket, ClientResult<std::string> token, TimePoint now) {
  if (ticket == 0) {
    return;
  }
  if (ticket == token_ticket_) {
    token_ticket_ = 0;
    on_connect_token(std::move(token), now);
    return;
  }
  const auto found = std::ranges::find_if(
      subscriptions_, [ticket](const auto& entry) { return entry.second.ticket == ticket; });
  if (found != subscriptions_.end()) {
    found->second.ticket = 0;
    on_subscription_token(found->second, std::move(token), now);
  }
}

void ClientSession::on_connect_token(ClientResult<std::string> token, TimePoint now) {
  const bool refused =
      token.has_value() ? token->empty() : token.error().code == ErrorCode::kPermissionDenied;
  if (refused) {
    if (transport_state_ != TransportState::kNone) {
      transport_.close(ws::kCloseNormal, "unauthorized");
    }
    end(DisconnectedCode::kUnauthorized, "unauthorized");
    return;
  }
  if (token_use_ == TokenUse::kRefresh) {
    if (!token.has_value()) {
      refresh_at_ = now + kRefreshRetry;
      wake_at(refresh_at_);
      events_.on_error(token.error());
      return;
    }
    token_ = std::move(*token);
    issue(CommandKind::kRefresh, {}, now,
          [this](std::string& out, std::uint32_t id) { write_refresh(out, id, token_); });
    return;
  }
  if (token.has_value()) {
    token_ = std::move(*token);
    start_attempt(now);
    return;
  }
  reconnect_at_ = now + backoff(attempts_++);
  wake_at(reconnect_at_);
  events_.on_error(token.error());
}

void ClientSession::on_transport_open(TimePoint now) {
  if (transport_state_ != TransportState::kOpening) {
    return;
  }
  transport_state_ = TransportState::kOpen;
  connect_deadline_ = TimePoint::max();
  heard_ = now;
  silence_max_ = Duration{0};  // until the connect reply tells the interval
  issue(CommandKind::kConnect, {}, now, [this](std::string& out, std::uint32_t id) {
    write_connect(out, id,
                  {.token = token_,
                   .data = options_.data,
                   .name = options_.name,
                   .version = options_.version,
                   .headers = options_.headers,
                   .subs = resumable()});
  });
  // Not waiting for the connect reply saves a round trip; if it is refused, so are they.
  subscribe_all(now);
}

void ClientSession::on_transport_closed(std::uint16_t code, std::string_view reason,
                                        TimePoint now) {
  if (transport_state_ == TransportState::kNone) {
    return;
  }
  const bool was_connecting = state_ == State::kConnecting;
  transport_state_ = TransportState::kNone;
  const std::uint64_t connection = connection_;
  if (was_connecting && code < 3000 && code != kCloseMessageTooBig) {
    events_.on_error({{ErrorCode::kUnavailable, std::string(reason)}});
  }
  if (connection == connection_ && state_ != State::kDisconnected) {
    on_disconnect_code(code, reason, now);
  }
}

void ClientSession::on_disconnect_code(std::uint32_t code, std::string_view reason, TimePoint now) {
  if (code == kCloseMessageTooBig) {
    end(DisconnectedCode::kMessageSizeLimit, "message size limit");
  } else if (code < 3000) {
    lose(ConnectingCode::kTransportClosed, reason.empty() ? "transport closed" : reason, now);
  } else if (is_terminal(code)) {
    end(code, reason);
  } else {
    if (code == kStateInvalidated) {
      invalidate_state();
    }
    lose(code, reason, now);
  }
}

// What the client knows is worth nothing any more. The sentinel epoch matches none: the server
// answers "not recovered", and the user is told.
void ClientSession::invalidate_state() {
  if (options_.has_get_token) {
    token_.clear();
  }
  for (auto& [id, subscription] : subscriptions_) {
    if (subscription.options.has_get_token) {
      subscription.token.clear();
    }
    if (subscription.has_position) {
      subscription.position = Position{.epoch = "_", .offset = {}};
    }
  }
  for (auto& [channel, subscription] : server_side_) {
    subscription.position = Position{.epoch = "_", .offset = {}};
  }
}

void ClientSession::drop_transport() {
  transport_state_ = TransportState::kNone;
  ++connection_;
  connect_deadline_ = reconnect_at_ = refresh_at_ = TimePoint::max();
  silence_max_ = Duration{0};
  token_ticket_ = 0;
  batch_.clear();
}

void ClientSession::close_and_lose(std::uint32_t code, std::string_view reason, TimePoint now) {
  transport_.close(ws::kCloseNormal, reason);
  lose(code, reason, now);
}

// The connection, or the attempt to get one, is over; another one follows.
void ClientSession::lose(std::uint32_t code, std::string_view reason, TimePoint now) {
  drop_transport();
  const bool was_connected = state_ == State::kConnected;
  state_ = State::kConnecting;
  const std::string kept(reason);  // events may end what it points to
  reconnect_at_ = now + backoff(attempts_++);
  wake_at(reconnect_at_);
  const std::uint64_t connection = connection_;
  if (was_connected) {
    events_.on_connecting(code, kept);
  }
  if (connection == connection_) {
    suspend_subscriptions();
  }
  if (connection == connection_) {
    fail_commands(false, {{ErrorCode::kClosed, kept}});
  }
}

void ClientSession::end(std::uint32_t code, std::string_view reason) {
  if (state_ == State::kDisconnected) {
    return;
  }
  drop_transport();
  state_ = State::kDisconnected;
  const std::string kept(reason);
  suspend_subscriptions();
  fail_commands(true, {{ErrorCode::kClosed, kept}});
  events_.on_disconnected(code, kept);
}

void ClientSession::disconnect(std::uint32_t code, std::string_view reason) {
  if (state_ == State::kDisconnected) {
    return;
  }
  flush();
  if (transport_state_ != TransportState::kNone) {
    transport_.close(ws::kCloseNormal, reason);
  }
  end(code, reason);
}

// Commands that were sent, and all others too `with_unsent`.
void ClientSession::fail_commands(bool with_unsent, const ClientError& error) {
  std::vector<Pending> failed;
  for (auto entry = pending_.begin(); entry != pending_.end();) {
    if (with_unsent || entry->second.unsent.empty()) {
      failed.push_back(std::move(entry->second));
      entry = pending_.erase(entry);
    } else {
      ++entry;
    }
  }
  for (Pending& pending : failed) {
    fail_one(pending.done, error);
  }
}

// min + [0, min · 2^attempt], at most max.
Duration ClientSession::backoff(unsigned attempt) {
  Duration spread = options_.reconnect_delay_min;
  for (unsigned doubled = 0; doubled < attempt && spread < options_.reconnect_delay_max;
       ++doubled) {
    spread *= 2;
  }
  spread = std::min(spread, options_.reconnect_delay_max);
  const Duration drawn{
      static_cast<Duration::rep>(random_.below(static_cast<std::uint64_t>(spread.count()) + 1))};
  return std::min(options_.reconnect_delay_max, options_.reconnect_delay_min + drawn);
}

void ClientSession::on_timer(TimePoint now) {
  if (wakeup_ > now) {
    return;
  }
  if (connect_deadline_ <= now) {
    const std::uint64_t connection = connection_;
    events_.on_error({{ErrorCode::kTimeout, "no connection in time"}});
    if (connection == connection_ && state_ != State::kDisconnected) {
      close_and_lose(ConnectingCode::kTransportClosed, "connect timeout", now);
    }
  } else if (reconnect_at_ <= now) {
    start_attempt(now);
  } else if (silence_max_ > Duration{0} && heard_ + silence_max_ <= now) {
    close_and_lose(ConnectingCode::kNoPing, "no ping", now);
  }
  if (refresh_at_ <= now) {
    refresh_at_ = TimePoint::max();
    request_token(TokenUse::kRefresh);
  }
  expire_commands(now);
  if (subscriptions_wakeup_ <= now) {
    subscription_timers(now);
  }
  update_wakeup();
}

void ClientSession::update_wakeup() {
  wakeup_ = std::min({connect_deadline_, reconnect_at_, refresh_at_, subscriptions_wakeup_});
  if (silence_max_ > Duration{0}) {
    wake_at(heard_ + silence_max_);
  }
  if (!pending_.empty()) {
    wake_at(pending_.begin()->second.deadline);
  }
}

void ClientSession::expire_commands(TimePoint now) {
  while (!pending_.empty() && pending_.begin()->second.deadline <= now) {
    Pending pending = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    switch (pending.kind) {
      case CommandKind::kConnect:
        close_and_lose(ConnectingCode::kTransportClosed, "connect timeout", now);
        break;
      case CommandKind::kSubscribe:
        close_and_lose(ConnectingCode::kSubscribeTimeout, "subscribe timeout", now);
        break;
      case CommandKind::kUnsubscribe:
        close_and_lose(ConnectingCode::kUnsubscribeError, "unsubscribe timeout", now);
        break;
      case CommandKind::kRefresh:
        refresh_at_ = now + kRefreshRetry;
        break;
      case CommandKind::kSubRefresh:
        if (Subscribed* subscription = find(pending.subscription)) {
          subscription->refresh_at = now + kRefreshRetry;
          subscriptions_wakeup_ = std::min(subscriptions_wakeup_, subscription->refresh_at);
        }
        break;
      case CommandKind::kUser: {
        const ClientError error{
            {ErrorCode::kTimeout, pending.unsent.empty() ? "no reply in time" : "not connected"}};
        fail_one(pending.done, error);
        break;
      }
    }
  }
}

}  // namespace trunkline::session
