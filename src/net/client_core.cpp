// SPDX-License-Identifier: Apache-2.0
#include "net/client_core.h"

#include "net/clock.h"

#include <fmt/format.h>

namespace trunkline::net {

namespace {

session::ClientSessionOptions session_options(const ClientOptions& options) {
  return {.token = options.token,
          .has_get_token = static_cast<bool>(options.get_token),
          .name = options.name,
          .version = options.version,
          .data = options.data,
          .headers = options.headers,
          .reconnect_delay_min = options.reconnect_delay_min,
          .reconnect_delay_max = options.reconnect_delay_max,
          .command_timeout = options.command_timeout,
          .connect_timeout = options.connect_timeout,
          .max_server_ping_delay = options.max_server_ping_delay,
          .pending_commands_max = options.pending_commands_max,
          .unsent_bytes_max = options.unsent_bytes_max};
}

Result<ClientTarget> target_of(const ClientOptions& options, ClientLoopCore& loop) {
  Result<ClientTarget> target = parse_client_url(options.url);
  if (!target.has_value()) {
    return target;
  }
  target->message_bytes_max = options.message_bytes_max;
  if (options.compression) {
    // Our direction without context takeover: all connections of the loop then share one state.
    target->deflate = ws::DeflateParameters{.client_no_context_takeover = true};
    target->handshake.extensions = ws::offer_deflate(*target->deflate);
  }
  if (target->is_secure) {
    Result<std::shared_ptr<const TlsContext>> context = loop.tls_context(options.tls);
    if (!context.has_value()) {
      return std::unexpected(context.error());
    }
    target->tls = std::move(*context);
  } else if (options.tls != ClientTlsOptions{}) {
    return fail(ErrorCode::kConfig,
                fmt::format("{}: TLS options are for wss://; ws:// is not encrypted", options.url));
  }
  if (!options.local_address.empty()) {
    boost::system::error_code error;
    target->local_address = boost::asio::ip::make_address(options.local_address, error);
    if (error) {
      return fail(ErrorCode::kConfig,
                  fmt::format("{}: not an address to bind to", options.local_address));
    }
  }
  return target;
}

}  // namespace

ClientCore::ClientCore(std::shared_ptr<ClientLoopCore> loop, ClientOptions options,
                       ClientHandlers handlers)
    : loop_(std::move(loop)),
      options_(std::move(options)),
      handlers_(std::move(handlers)),
      session_options_(session_options(options_)),
      target_(target_of(options_, *loop_)),
      session_(session_options_, loop_->decoder(), Random(loop_->seed()), *this, *this),
      timer_(loop_->io()) {}

void ClientCore::attach() {
  loop_->post([self = shared_from_this()] {
    if (!self->is_muted_) {
      self->is_attached_ = true;
      self->loop_->add(*self);
    }
  });
}

void ClientCore::detach() {
  is_muted_ = true;
  if (loop_->is_on_loop()) {
    release();
    return;
  }
  loop_->post_and_wait([self = shared_from_this()] { self->release(); });
}

// Ends everything without a word to the user. Inside of a callback the session and the callbacks
// stay, silent, until it returns.
void ClientCore::release() {
  if (is_attached_) {
    is_attached_ = false;
    loop_->remove(*this);
  }
  timer_.cancel();
  session_.disconnect(DisconnectedCode::kDisconnectCalled, "client closed");
  if (connection_) {
    close(ws::kCloseNormal, "client closed");
  }
  if (call_depth_ == 0) {
    handlers_ = {};
    options_.get_token = nullptr;
  }
}

void ClientCore::end_with_loop() {
  const std::shared_ptr<ClientCore> self = shared_from_this();
  session_.disconnect(DisconnectedCode::kDisconnectCalled, "client loop stopped");
  timer_.cancel();
}

Result<void> ClientCore::check_options() {
  if (!target_.has_value()) {
    return std::unexpected(target_.error());
  }
  // An empty text is no data.
  if (!options_.data.empty()) {
    const Result<std::string_view> data = loop_->decoder().check_user_json(options_.data);
    if (!data.has_value()) {
      return std::unexpected(data.error());
    }
    session_options_.data = *data;
  }
  return {};
}

void ClientCore::connect() {
  if (const Result<void> checked = check_options(); !checked.has_value()) {
    call(handlers_.on_disconnected, DisconnectedCode::kBadOptions,
         std::string_view(checked.error().context));
    return;
  }
  session_.connect(monotonic_now());
}

void ClientCore::subscribe(session::SubscriptionId id, std::string channel,
                           SubscriptionOptions options, SubscriptionHandlers handlers) {
  std::string data;
  if (!options.data.empty()) {
    const Result<std::string_view> checked = loop_->decoder().check_user_json(options.data);
    if (!checked.has_value()) {
      call(handlers.on_unsubscribed, UnsubscribedCode::kBadOptions,
           std::string_view(checked.error().context));
      return;
    }
    data = *checked;
  }
  const bool has_get_token = static_cast<bool>(options.get_token);
  auto [entry, is_new] = subscriptions_.emplace(
      id, std::make_unique<ClientSubscription>(*this, id, channel, std::move(options.get_token),
                                               std::move(handlers)));
  session_.subscribe(id, std::move(channel),
                     {.since = std::move(options.since),
                      .token = std::move(options.token),
                      .has_get_token = has_get_token,
                      .data = std::move(data),
                      .positioned = options.positioned,
                      .recoverable = options.recoverable,
                      .join_leave = options.join_leave},
                     *entry->second, monotonic_now());
}

void ClientCore::end_subscription(session::SubscriptionId id, std::uint32_t code,
                                  std::string_view reason, SubscriptionHandlers& handlers) {
  // Gone before the last callback, destroyed after it.
  const auto ended = subscriptions_.extract(id);
  call(handlers.on_unsubscribed, code, reason);
}

TokenDone ClientCore::token_answer(std::uint64_t ticket) {
  return [weak = weak_from_this(), ticket](ClientResult<std::string> token) {
    if (const std::shared_ptr<ClientCore> self = weak.lock()) {
      self->post([ticket, token = std::move(token)](ClientCore& core) mutable {
        core.session_.on_token(ticket, std::move(token), monotonic_now());
      });
    }
  };
}

void ClientCore::touch() {
  if (!is_touched_) {
    is_touched_ = true;
    loop_->end_turn_of(shared_from_this());
  }
}

void ClientCore::end_turn() {
  is_touched_ = false;
  if (has_thrown_) {
    has_thrown_ = false;
    session_.disconnect(DisconnectedCode::kCallbackThrew, "a callback threw");
  }
  session_.flush();
  if (const std::shared_ptr<ClientConnection> connection = connection_) {
    connection->flush();
  }
  arm_timer();
}

void ClientCore::arm_timer() {
  const TimePoint due = session_.next_wakeup();
  // A timer that fires early only asks again: most deadlines move away before they are due.
  if (is_muted_ || due >= armed_for_) {
    return;
  }
  armed_for_ = due;
  timer_.expires_at(std::chrono::steady_clock::time_point(due.time_since_epoch()));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const std::shared_ptr<ClientCore> self = weak.lock();
    if (error || !self || self->is_muted_) {
      return;
    }
    self->armed_for_ = TimePoint::max();
    self->session_.on_timer(monotonic_now());
    self->touch();
  });
}

void ClientCore::open() {
  connection_ = std::make_shared<ClientConnection>(*loop_, *target_,
                                                   static_cast<ClientConnectionOwner&>(*this));
  connection_->start();
}

void ClientCore::send_text(std::string_view text) {
  if (connection_) {
    connection_->send_text(text);
  }
}

void ClientCore::close(std::uint16_t code, std::string_view reason) {
  if (const std::shared_ptr<ClientConnection> connection = std::exchange(connection_, nullptr)) {
    connection->close(code, reason);
  }
}

std::size_t ClientCore::unsent_bytes() const {
  return connection_ ? connection_->unsent_bytes() : 0;
}

void ClientCore::on_connecting(std::uint32_t code, std::string_view reason) {
  call(handlers_.on_connecting, code, reason);
}

void ClientCore::on_connected(std::string_view client, std::string_view version) {
  call(handlers_.on_connected, client, version);
}

void ClientCore::on_disconnected(std::uint32_t code, std::string_view reason) {
  call(handlers_.on_disconnected, code, reason);
}

void ClientCore::on_message(std::string_view data) {
  call(handlers_.on_message, data);
}

void ClientCore::on_server_subscribed(std::string_view channel, const SubscribedContext& context) {
  call(handlers_.on_server_subscribed, channel, context);
}

void ClientCore::on_server_publication(std::string_view channel, const Publication& publication) {
  call(handlers_.on_server_publication, channel, publication);
}

void ClientCore::on_server_gap(std::string_view channel, const Gap& gap) {
  call(handlers_.on_server_gap, channel, gap);
}

void ClientCore::on_server_join(std::string_view channel, const ClientInfo& info) {
  call(handlers_.on_server_join, channel, info);
}

void ClientCore::on_server_leave(std::string_view channel, const ClientInfo& info) {
  call(handlers_.on_server_leave, channel, info);
}

void ClientCore::on_server_unsubscribed(std::string_view channel, std::uint32_t code,
                                        std::string_view reason) {
  call(handlers_.on_server_unsubscribed, channel, code, reason);
}

void ClientCore::on_error(const ClientError& error) {
  call(handlers_.on_error, error);
}

void ClientCore::on_token_needed(std::uint64_t ticket) {
  call(options_.get_token, token_answer(ticket));
}

// The connection's calls keep this object: a callback may let go of it.

void ClientCore::on_connection_open() {
  const std::shared_ptr<ClientCore> self = shared_from_this();
  session_.on_transport_open(monotonic_now());
  touch();
}

void ClientCore::on_connection_message(std::string_view text) {
  const std::shared_ptr<ClientCore> self = shared_from_this();
  session_.on_transport_message(text, monotonic_now());
  touch();
}

void ClientCore::on_connection_closed(ws::CloseCode code, std::string_view reason) {
  const std::shared_ptr<ClientCore> self = shared_from_this();
  connection_ = nullptr;
  session_.on_transport_closed(code, reason, monotonic_now());
  touch();
}

ClientSubscription::ClientSubscription(ClientCore& client, session::SubscriptionId id,
                                       std::string channel,
                                       std::function<void(std::string_view, TokenDone)> get_token,
                                       SubscriptionHandlers handlers)
    : client_(client),
      id_(id),
      channel_(std::move(channel)),
      get_token_(std::move(get_token)),
      handlers_(std::move(handlers)) {}

void ClientSubscription::on_subscribing(std::uint32_t code, std::string_view reason) {
  client_.call(handlers_.on_subscribing, code, reason);
}

void ClientSubscription::on_subscribed(const SubscribedContext& context) {
  client_.call(handlers_.on_subscribed, context);
}

void ClientSubscription::on_publication(const Publication& publication) {
  client_.call(handlers_.on_publication, publication);
}

void ClientSubscription::on_gap(const Gap& gap) {
  client_.call(handlers_.on_gap, gap);
}

void ClientSubscription::on_join(const ClientInfo& info) {
  client_.call(handlers_.on_join, info);
}

void ClientSubscription::on_leave(const ClientInfo& info) {
  client_.call(handlers_.on_leave, info);
}

void ClientSubscription::on_error(const ClientError& error) {
  client_.call(handlers_.on_error, error);
}

void ClientSubscription::on_token_needed(std::uint64_t ticket) {
  client_.call(get_token_, std::string_view(channel_), client_.token_answer(ticket));
}

void ClientSubscription::on_unsubscribed(std::uint32_t code, std::string_view reason) {
  client_.end_subscription(id_, code, reason, handlers_);
}

}  // namespace trunkline::net
