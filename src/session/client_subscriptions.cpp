// SPDX-License-Identifier: Apache-2.0
//
// The session's subscriptions: each asks to go on from where it stood until it is ended for good.
#include "session/client_requests.h"

#include <fmt/format.h>

namespace trunkline::session {

namespace {

constexpr std::uint32_t kCodeAlreadySubscribed = 105;
constexpr std::uint32_t kCodeTokenExpired = 109;
constexpr std::uint32_t kResubscribeFrom = 2500;
constexpr std::uint32_t kSubscriptionStateInvalidated = 2502;

}  // namespace

ClientSession::Subscribed* ClientSession::find(SubscriptionId id) {
  const auto found = subscriptions_.find(id);
  return found == subscriptions_.end() ? nullptr : &found->second;
}

ClientSession::Subscribed* ClientSession::find(std::string_view channel) {
  const auto found = by_channel_.find(channel);
  return found == by_channel_.end() ? nullptr : found->second;
}

void ClientSession::subscribe(SubscriptionId id, std::string channel,
                              ClientSubscriptionOptions options, SubscriptionEvents& events,
                              TimePoint now) {
  if (find(channel) != nullptr) {
    events.on_unsubscribed(kCodeAlreadySubscribed, "already subscribed");
    return;
  }
  Subscribed& subscription = subscriptions_[id];
  subscription.id = id;
  subscription.events = &events;
  subscription.token = options.token;
  if (options.since.has_value()) {
    subscription.has_position = true;
    subscription.position = *options.since;
  }
  subscription.options = std::move(options);
  subscription.channel = std::move(channel);
  by_channel_.emplace(subscription.channel, &subscription);
  events.on_subscribing(SubscribingCode::kSubscribeCalled, "subscribe called");
  if (Subscribed* still = find(id); still != nullptr && transport_state_ == TransportState::kOpen) {
    send_subscribe(*still, now);
  }
}

void ClientSession::unsubscribe(SubscriptionId id, TimePoint now) {
  Subscribed* subscription = find(id);
  if (subscription == nullptr) {
    return;
  }
  if (transport_state_ == TransportState::kOpen &&
      (subscription->is_subscribed || subscription->command != 0)) {
    issue(CommandKind::kUnsubscribe, {}, now, [subscription](std::string& out, std::uint32_t wire) {
      write_channel_command(out, wire, "unsubscribe", subscription->channel);
    });
  }
  end_subscription(id, UnsubscribedCode::kUnsubscribeCalled, "unsubscribe called");
}

// The last event of a subscription; its reply, if one is on its way, finds nobody.
void ClientSession::end_subscription(SubscriptionId id, std::uint32_t code,
                                     std::string_view reason) {
  auto node = subscriptions_.extract(id);
  if (node.empty()) {
    return;
  }
  by_channel_.erase(node.mapped().channel);
  if (node.mapped().command != 0) {
    pending_.erase(node.mapped().command);
  }
  const std::string kept(reason);
  node.mapped().events->on_unsubscribed(code, kept);
}

void ClientSession::subscribe_all(TimePoint now) {
  for (auto entry = subscriptions_.begin(); entry != subscriptions_.end();) {
    const SubscriptionId id = entry->first;
    send_subscribe(entry->second, now);
    entry = subscriptions_.upper_bound(id);
  }
}

// The connection is gone: all wait for the next one.
void ClientSession::suspend_subscriptions() {
  const std::uint64_t connection = connection_;
  for (auto entry = subscriptions_.begin(); entry != subscriptions_.end();) {
    const SubscriptionId id = entry->first;
    Subscribed& subscription = entry->second;
    if (subscription.command != 0) {
      pending_.erase(subscription.command);
    }
    subscription.command = 0;
    subscription.retry_at = subscription.refresh_at = TimePoint::max();
    if (subscription.is_subscribed) {
      subscription.is_subscribed = false;
      subscription.events->on_subscribing(SubscribingCode::kTransportClosed, "transport closed");
      if (connection != connection_) {
        return;
      }
    }
    entry = subscriptions_.upper_bound(id);
  }
  subscriptions_wakeup_ = TimePoint::max();
}

void ClientSession::send_subscribe(Subscribed& subscription, TimePoint now) {
  subscription.retry_at = TimePoint::max();
  if (subscription.command != 0 || subscription.is_subscribed || subscription.ticket != 0) {
    return;
  }
  if (subscription.token.empty() && subscription.options.has_get_token) {
    subscription.ticket = ++last_ticket_;
    subscription.events->on_token_needed(subscription.ticket);
    return;
  }
  const ClientSubscriptionOptions& options = subscription.options;
  subscription.command =
      issue(CommandKind::kSubscribe, subscription.id, now,
            [&subscription, &options](std::string& out, std::uint32_t id) {
              write_subscribe(
                  out, id,
                  {.channel = subscription.channel,
                   .token = subscription.token,
                   .data = options.data,
                   .recover_from = subscription.has_position ? &subscription.position : nullptr,
                   .positioned = options.positioned,
                   .recoverable = options.recoverable,
                   .join_leave = options.join_leave});
            });
}

void ClientSession::on_subscription_token(Subscribed& subscription, ClientResult<std::string> token,
                                          TimePoint now) {
  const bool refused =
      token.has_value() ? token->empty() : token.error().code == ErrorCode::kPermissionDenied;
  if (refused) {
    unsubscribe_refused(subscription.id, now);
    return;
  }
  if (!token.has_value()) {
    if (subscription.is_subscribed) {
      subscription.refresh_at = now + kRefreshRetry;
      subscriptions_wakeup_ = std::min(subscriptions_wakeup_, subscription.refresh_at);
      wake_at(subscriptions_wakeup_);
    } else if (state_ == State::kConnected) {
      retry_subscribe(subscription, false, now);
    }
    subscription.events->on_error(token.error());
    return;
  }
  subscription.token = std::move(*token);
  if (subscription.is_subscribed) {
    issue(CommandKind::kSubRefresh, subscription.id, now,
          [&subscription](std::string& out, std::uint32_t id) {
            write_sub_refresh(out, id, subscription.channel, subscription.token);
          });
  } else if (transport_state_ == TransportState::kOpen) {
    send_subscribe(subscription, now);
  }
}

void ClientSession::unsubscribe_refused(SubscriptionId id, TimePoint now) {
  const Subscribed* subscription = find(id);
  if (subscription->is_subscribed) {
    issue(CommandKind::kUnsubscribe, {}, now, [subscription](std::string& out, std::uint32_t wire) {
      write_channel_command(out, wire, "unsubscribe", subscription->channel);
    });
  }
  end_subscription(id, UnsubscribedCode::kUnauthorized, "unauthorized");
}

void ClientSession::on_subscribe_reply(Subscribed& subscription, const ServerLine& line,
                                       TimePoint now) {
  subscription.command = 0;
  if (line.code != 0) {
    refuse_subscribe(subscription, client_error(line), now);
    return;
  }
  const Result<SubscribeReply> reply = decoder_.subscribe(line.result);
  if (!reply.has_value()) {
    bad_protocol(reply.error());
    return;
  }
  accept_subscribe(subscription, *reply, now);
}

void ClientSession::refuse_subscribe(Subscribed& subscription, ClientError error, TimePoint now) {
  const bool wants_token =
      error.protocol_code == kCodeTokenExpired && subscription.options.has_get_token;
  if (wants_token) {
    subscription.token.clear();
  }
  if (!wants_token && !error.is_temporary && error.protocol_code >= 100) {
    end_subscription(subscription.id, error.protocol_code, error.context);
    return;
  }
  retry_subscribe(subscription, false, now);
  subscription.events->on_error(error);
}

SubscribedContext ClientSession::context_of(const SubscribeReply& reply) {
  return {.was_recovering = reply.was_recovering,
          .recovered = reply.recovered,
          .positioned = reply.positioned,
          .recoverable = reply.recoverable,
          .position = {},
          .asked = {},
          .recovered_publications = 0,
          .data = reply.data};
}

void ClientSession::accept_subscribe(Subscribed& subscription, const SubscribeReply& reply,
                                     TimePoint now) {
  SubscribedContext context = context_of(reply);
  if (reply.was_recovering && subscription.has_position) {
    context.asked = subscription.position;
  }
  subscription.is_subscribed = true;
  subscription.subscribed_at = now;
  subscription.is_checked = reply.positioned || reply.recoverable;
  subscription.has_position = reply.recoverable;
  subscription.position.epoch = reply.epoch;
  // After a recovery the publications that follow lead from what was asked for to the newest.
  if (!(reply.recovered && context.asked.has_value())) {
    subscription.position.offset = reply.offset;
  }
  if (subscription.is_checked) {
    context.position = subscription.position;
  }
  if (reply.expires && subscription.options.has_get_token) {
    subscription.refresh_at = now + ttl_duration(reply.ttl_seconds);
    subscriptions_wakeup_ = std::min(subscriptions_wakeup_, subscription.refresh_at);
    wake_at(subscriptions_wakeup_);
  }
  const Result<std::vector<Publication>> missed = decoder_.publications(reply.publications);
  if (!missed.has_value()) {
    bad_protocol(missed.error());
    return;
  }
  context.recovered_publications = missed->size();
  const SubscriptionId id = subscription.id;
  const std::uint64_t connection = connection_;
  subscription.events->on_subscribed(context);
  for (const Publication& publication : *missed) {
    Subscribed* still = find(id);
    if (still == nullptr || !still->is_subscribed || connection != connection_) {
      return;
    }
    deliver(*still, publication, {});
  }
}

// The hot path. The position moves first: whatever the user does inside, it is right.
void ClientSession::deliver(Subscribed& subscription, const Publication& publication,
                            std::string_view epoch) {
  const Offset expected = subscription.position.offset.next();
  const Order order = advance(subscription.position, subscription.is_checked, publication, epoch);
  if (order != Order::kNext) {
    const SubscriptionId id = subscription.id;
    subscription.events->on_error(order_error(subscription.channel, expected, publication.offset));
    const Subscribed* still = find(id);
    if (order == Order::kRepeat || still == nullptr || !still->is_subscribed) {
      return;
    }
  }
  subscription.events->on_publication(publication);
}

ClientSession::Order ClientSession::advance(Position& position, bool is_checked,
                                            const Publication& publication,
                                            std::string_view epoch) {
  if (publication.offset.value == 0) {
    return Order::kNext;  // it is in no log
  }
  const Offset expected = position.offset.next();
  if (is_checked && publication.offset < expected) {
    return Order::kRepeat;
  }
  position.offset = publication.offset;
  // A subscription from before the stream's beginning learns its epoch here.
  if (position.epoch.empty() && !epoch.empty()) {
    position.epoch = epoch;
  }
  return is_checked && publication.offset != expected ? Order::kGap : Order::kNext;
}

ClientError ClientSession::order_error(std::string_view channel, Offset expected, Offset got) {
  return {{ErrorCode::kProtocolError,
           fmt::format("{}: expected offset {}, got {}", channel, expected.value, got.value)}};
}

void ClientSession::on_unsubscribe_push(Subscribed& subscription, const ServerLine& line,
                                        TimePoint now) {
  // An absent code is not one of the server's endings: the other clients come back then.
  if (line.code != 0 && line.code < kResubscribeFrom) {
    end_subscription(subscription.id, line.code, line.text);
    return;
  }
  if (line.code == kSubscriptionStateInvalidated) {
    if (subscription.options.has_get_token) {
      subscription.token.clear();
    }
    if (subscription.has_position) {
      subscription.position = Position{.epoch = "_", .offset = {}};
    }
  }
  subscription.is_subscribed = false;
  subscription.refresh_at = TimePoint::max();
  const SubscriptionId id = subscription.id;
  // At once the first time, and with delays when it does not last.
  if (subscription.subscribed_at + options_.reconnect_delay_max <= now) {
    subscription.attempts = 0;
  }
  const bool at_once = subscription.attempts == 0;
  const std::uint64_t connection = connection_;
  subscription.events->on_subscribing(line.code, line.text);
  if (Subscribed* still = find(id); still != nullptr && connection == connection_) {
    retry_subscribe(*still, at_once, now);
  }
}

void ClientSession::retry_subscribe(Subscribed& subscription, bool at_once, TimePoint now) {
  const unsigned attempt = subscription.attempts++;
  if (at_once) {
    send_subscribe(subscription, now);
    return;
  }
  subscription.retry_at = now + backoff(attempt);
  subscriptions_wakeup_ = std::min(subscriptions_wakeup_, subscription.retry_at);
  wake_at(subscriptions_wakeup_);
}

void ClientSession::on_sub_refresh_reply(Subscribed& subscription, const ServerLine& line,
                                         TimePoint now) {
  if (line.code != 0) {
    const ClientError error = client_error(line);
    if (!error.is_temporary) {
      end_subscription(subscription.id, error.protocol_code, error.context);
      return;
    }
    subscription.refresh_at = now + kRefreshRetry;
    subscription.events->on_error(error);
  } else {
    const Result<std::uint32_t> ttl_seconds = decoder_.refresh_ttl(line.result);
    if (!ttl_seconds.has_value()) {
      bad_protocol(ttl_seconds.error());
      return;
    }
    subscription.refresh_at =
        *ttl_seconds == 0 ? TimePoint::max() : now + ttl_duration(*ttl_seconds);
  }
  subscriptions_wakeup_ = TimePoint{};  // worked out anew at the next timer
  wake_at(now);
}

void ClientSession::subscription_timers(TimePoint now) {
  subscriptions_wakeup_ = TimePoint::max();
  for (auto entry = subscriptions_.begin(); entry != subscriptions_.end();) {
    const SubscriptionId id = entry->first;
    Subscribed& subscription = entry->second;
    if (subscription.retry_at <= now) {
      send_subscribe(subscription, now);
    } else if (subscription.refresh_at <= now) {
      subscription.refresh_at = TimePoint::max();
      subscription.ticket = ++last_ticket_;
      subscription.events->on_token_needed(subscription.ticket);
    }
    entry = subscriptions_.upper_bound(id);
  }
  for (const auto& [id, subscription] : subscriptions_) {
    subscriptions_wakeup_ =
        std::min({subscriptions_wakeup_, subscription.retry_at, subscription.refresh_at});
  }
}

}  // namespace trunkline::session
