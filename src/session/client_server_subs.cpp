// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that the server began: in the connect reply, or later by a push. The client knows
// of them only what it is told; it keeps where each stands, and says so when it connects again.
#include "session/client_session.h"

#include <algorithm>
#include <utility>

namespace trunkline::session {

std::vector<std::pair<std::string_view, const Position*>> ClientSession::resumable() const {
  std::vector<std::pair<std::string_view, const Position*>> subs;
  for (const auto& [channel, subscription] : server_side_) {
    if (subscription.is_recoverable) {
      subs.emplace_back(channel, &subscription.position);
    }
  }
  return subs;
}

// All that the server goes on with or begins; what it leaves out has ended.
void ClientSession::accept_server_subs(std::string_view subs) {
  const auto all = decoder_.subs(subs);
  if (!all.has_value()) {
    bad_protocol(all.error());
    return;
  }
  std::vector<std::string> ended;
  for (const auto& [channel, subscription] : server_side_) {
    if (std::ranges::find(*all, channel, [](const auto& one) { return one.first; }) == all->end()) {
      ended.push_back(channel);
    }
  }
  const std::uint64_t connection = connection_;
  for (const std::string& channel : ended) {
    end_server_sub(channel, UnsubscribedCode::kNotGranted, "not granted");
    if (connection != connection_) {
      return;
    }
  }
  for (const auto& [channel, result] : *all) {
    if (!accept_server_sub(channel, result)) {
      return;
    }
  }
}

bool ClientSession::accept_server_sub(const std::string& channel, std::string_view result) {
  const Result<SubscribeReply> reply = decoder_.subscribe(result);
  if (!reply.has_value()) {
    bad_protocol(reply.error());
    return false;
  }
  SubscribedContext context = context_of(*reply);
  ServerSubscribed& subscription = server_side_[channel];
  if (reply->was_recovering && subscription.is_recoverable) {
    context.asked = subscription.position;
  }
  subscription.is_checked = reply->positioned || reply->recoverable;
  subscription.is_recoverable = reply->recoverable;
  subscription.position.epoch = reply->epoch;
  // After a recovery the publications that follow lead from what was asked for to the newest.
  if (!(reply->recovered && context.asked.has_value())) {
    subscription.position.offset = reply->offset;
  }
  if (subscription.is_checked) {
    context.position = subscription.position;
  }
  const std::string data(reply->data);  // the decoder is used again before the user sees it
  context.data = data;
  const Result<std::vector<Publication>> missed = decoder_.publications(reply->publications);
  if (!missed.has_value()) {
    bad_protocol(missed.error());
    return false;
  }
  context.recovered_publications = missed->size();
  const std::uint64_t connection = connection_;
  events_.on_server_subscribed(channel, context);
  for (const Publication& publication : *missed) {
    if (connection != connection_) {
      return false;
    }
    deliver_server_side(channel, server_side_[channel], publication, {});
  }
  return connection == connection_;
}

void ClientSession::on_server_line(const ServerLine& line) {
  const std::string channel(line.channel);  // the decoder may be used again
  if (line.kind == ServerLineKind::kSubscribe) {
    accept_server_sub(channel, line.result);
    return;
  }
  const auto found = server_side_.find(channel);
  if (found == server_side_.end()) {
    return;
  }
  switch (line.kind) {
    case ServerLineKind::kPublication:
      deliver_server_side(channel, found->second, line.publication, line.epoch);
      break;
    case ServerLineKind::kJoin:
      events_.on_server_join(channel, line.info);
      break;
    case ServerLineKind::kLeave:
      events_.on_server_leave(channel, line.info);
      break;
    case ServerLineKind::kGap:
      // What follows is in order again.
      found->second.position.offset = std::max(found->second.position.offset, line.gap.to);
      events_.on_server_gap(channel, line.gap);
      break;
    case ServerLineKind::kUnsubscribe:
      end_server_sub(channel, line.code, line.text);
      break;
    default:
      break;
  }
}

// The position moves first: whatever the user does inside, it is right.
void ClientSession::deliver_server_side(const std::string& channel, ServerSubscribed& subscription,
                                        const Publication& publication, std::string_view epoch) {
  const Offset expected = subscription.position.offset.next();
  const Order order = advance(subscription.position, subscription.is_checked, publication, epoch);
  if (order != Order::kNext) {
    const std::uint64_t connection = connection_;
    events_.on_error(order_error(channel, expected, publication.offset));
    if (order == Order::kRepeat || connection != connection_) {
      return;
    }
  }
  events_.on_server_publication(channel, publication);
}

void ClientSession::end_server_sub(const std::string& channel, std::uint32_t code,
                                   std::string_view reason) {
  const std::string kept(reason);
  if (server_side_.erase(channel) > 0) {
    events_.on_server_unsubscribed(channel, code, kept);
  }
}

}  // namespace trunkline::session
