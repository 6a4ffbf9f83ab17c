// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that the server begins, as a client is told of them: in the connect reply for what
// its token grants, by a push for what is granted later. It asks for none, and says at connect
// where it stood.
#include "sim/client.h"
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::sim {

using Phase = ClientChannel::Phase;

std::string Client::connect_body() {
  if (!behaviour_.has_token) {
    return "{}";
  }
  Random& random = world_.schedule().random;
  std::string subs;
  for (ClientChannel& channel : channels_) {
    if (!channel.from_server) {
      continue;
    }
    channel.asked_recovery = channel.resumable && behaviour_.recovers && !random.one_in(5);
    channel.asked = channel.seen;
    channel.top_at_send = top_of(channel.name);
    if (channel.asked_recovery) {
      subs += fmt::format(R"({}"{}":{{"recover":true,"epoch":"{}","offset":{}}})",
                          subs.empty() ? "" : ",", channel.name, channel.asked.epoch,
                          channel.asked.offset.value);
    }
  }
  return fmt::format(R"({{"token":"{}","subs":{{{}}}}})", name_, subs);
}

void Client::begin_at_connect(const Reply& reply) {
  for (const Reply& sub : reply.subs) {
    ClientChannel* channel = find(sub.channel);
    if (channel == nullptr || !channel->from_server || channel->phase != Phase::kNone) {
      violated("push without a subscription",
               fmt::format("channel {}: in the connect reply", sub.channel));
      return;
    }
    channel->ended = false;
    subscribed(*channel, sub);
  }
}

// Only for want of a snapshot.
void Client::not_connected(const Reply& reply) {
  const bool may_fail = std::ranges::any_of(channels_, [](const ClientChannel& channel) {
    return channel.from_server && channel.snapshot;
  });
  if (reply.code != kInternal || !may_fail) {
    violated("errors", fmt::format("connect was answered {}", reply.code));
  }
  cut();
}

void Client::begin_by_push(const Reply& reply) {
  ClientChannel* channel = find(reply.channel);
  // One that was ended by the server may begin again before our unsubscribe is answered.
  const bool idle =
      channel != nullptr && (channel->phase == Phase::kNone ||
                             (channel->phase == Phase::kUnsubscribing && channel->ended));
  if (!idle || !channel->from_server) {
    violated("push without a subscription",
             fmt::format("channel {}: begun by the server", reply.channel));
    return;
  }
  channel->ended = channel->asked_recovery = false;
  channel->top_at_send = {};  // nobody knows when it was asked for
  subscribed(*channel, reply);
}

void Client::check_granted(const ClientChannel& channel) {
  if (channel.from_server && channel.phase != Phase::kNone &&
      !world_.is_granted(name_, channel.name)) {
    violated("liveness", fmt::format("channel {}: has not ended", channel.name));
  }
}

}  // namespace trunkline::sim
