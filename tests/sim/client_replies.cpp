// SPDX-License-Identifier: Apache-2.0
//
// What a client is told, held against what is true.
#include "core/probe.h"
#include "sim/client.h"
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

using Phase = ClientChannel::Phase;

namespace {

constexpr std::uint32_t kUnrecoverable = 112;
constexpr std::uint32_t kInsufficientState = 2500;

}  // namespace

void Client::handle_reply(const Reply& reply) {
  const auto found = waiting_.find(reply.id);
  if (found == waiting_.end()) {
    violated("reply ids", fmt::format("a reply {} that was not asked for", reply.id));
    return;
  }
  const Command asked = std::move(found->second);
  waiting_.erase(found);
  if (reply.kind != "error" && reply.kind != asked.kind) {
    violated("reply ids", fmt::format("{} was asked as {} and answered with {}", asked.kind,
                                      reply.id, reply.kind));
    return;
  }
  ClientChannel* channel = find(asked.channel);
  if (asked.kind == "connect") {
    connected_ = reply.kind == "connect";
    last_ping_ = world_.schedule().now();
    client_id_ = reply.client;
    connected_ ? begin_at_connect(reply) : not_connected(reply);
    keep_up();
  } else if (asked.kind == "subscribe") {
    reply.kind == "error" ? not_subscribed(*channel, reply) : subscribed(*channel, reply);
  } else if (asked.kind == "unsubscribe") {
    channel->phase = is_unsubscribing(*channel) ? Phase::kUnsubscribing : Phase::kNone;
    channel->positioned = false;
  } else if (asked.kind == "history") {
    check_history(asked, reply);
  } else if (reply.kind == "error") {
    violated("errors", fmt::format("{} was answered {}", asked.kind, reply.code));
  } else if (asked.kind == "publish" && channel->settings.has_history() &&
             world_.checker().placed(asked.serial) == nullptr) {
    violated("publish", fmt::format("publication {} was answered and is nowhere", asked.serial));
  }
}

void Client::handle_push(const Reply& reply) {
  if (reply.kind == "subscribe") {
    begin_by_push(reply);
    return;
  }
  ClientChannel* channel = find(reply.channel);
  const bool live = channel != nullptr && !channel->ended &&
                    (channel->phase == Phase::kLive || channel->phase == Phase::kUnsubscribing);
  if (!live) {
    violated("push without a subscription",
             fmt::format("channel {}: {}", reply.channel,
                         reply.publications.empty() ? reply.kind : reply.publications.front()));
    return;
  }
  if (reply.kind == "pub") {
    publication(*channel, reply.publications.front());
  } else if (reply.kind == "unsubscribe") {
    unsubscribed(*channel, reply.code);
  } else if (reply.kind == "gap") {
    gap(*channel, reply);
  } else if (!channel->join_leave) {
    violated("push without a subscription",
             fmt::format("channel {}: {} was not asked for", channel->name, reply.kind));
  }
}

void Client::gap(ClientChannel& channel, const Reply& reply) {
  if (!channel.skips) {
    violated("gap", fmt::format("channel {} does not skip, but told a gap", channel.name));
    return;
  }
  if (!channel.positioned) {
    return;
  }
  if (reply.gap_from != channel.seen.offset.value + 1 || reply.gap_to < reply.gap_from) {
    violated("gap", fmt::format("channel {}: told {} to {} after {}", channel.name, reply.gap_from,
                                reply.gap_to, channel.seen.offset.value));
    return;
  }
  if (world_.checker().certainly_held(channel.name, channel.seen, replay::kCatchUp)) {
    violated("lost without need", fmt::format("channel {}: told a gap after {}", channel.name,
                                              channel.seen.offset.value));
  }
  channel.seen.offset = Offset{reply.gap_to};
  channel.fold_known = false;
}

void Client::publication(ClientChannel& channel, std::string_view body) {
  const Placed* placed = world_.checker().placed(number_of(body, "p"));
  if (placed == nullptr || placed->channel != channel.name) {
    violated("payload", fmt::format("channel {} never had {}", channel.name, body));
    return;
  }
  if (placed->log == nullptr) {
    if (!channel.unlogged.insert(number_of(body, "p")).second) {
      violated("repeated", fmt::format("channel {}: {} came twice", channel.name, body));
    }
    return;
  }
  const bool history = channel.settings.has_history();
  const Offset offset = history ? Offset{number_of(body, "offset")} : placed->offset;
  if (!channel.positioned) {
    // A channel without history tells nobody where it stands: the first publication does.
    channel.seen = Position{placed->log->epoch, Offset{offset.value - 1}};
    channel.positioned = true;
  }
  if (offset != channel.seen.offset.next()) {
    violated(offset > channel.seen.offset ? "gap" : "repeated",
             fmt::format("channel {}: offset {} came after {}", channel.name, offset.value,
                         channel.seen.offset.value));
    return;
  }
  if (!world_.checker().check_body(name_, channel.name, channel.seen.epoch, offset, body)) {
    return;
  }
  channel.seen.offset = offset;
  channel.sum += number_of(body, "v");
  const EpochLog& log = *world_.checker().find(channel.name, channel.seen.epoch);
  if (channel.fold_known && channel.sum != log.at(offset).sum) {
    violated("snapshot and stream",
             fmt::format("channel {}: the sum at {} is {} and was {}", channel.name, offset.value,
                         channel.sum, log.at(offset).sum));
  }
}

void Client::unsubscribed(ClientChannel& channel, std::uint32_t code) {
  Schedule& schedule = world_.schedule();
  if (code == kInsufficientState && channel.positioned &&
      (world_.checker().certainly_held(channel.name, channel.seen, replay::kCatchUp) ||
       world_.checker().certainly_held(channel.name, channel.seen, channel.settings.history))) {
    violated("lost without need", fmt::format("channel {}: told at {} that it lost its place",
                                              channel.name, channel.seen.offset.value));
  }
  if (channel.from_server && code == kInsufficientState) {
    violated("push without a subscription",
             fmt::format("channel {}: the client can not come back to it", channel.name));
  }
  if (channel.phase == Phase::kUnsubscribing) {
    channel.ended = true;
    return;
  }
  channel.phase = Phase::kNone;
  channel.positioned = false;
  channel.lost = code == kInsufficientState;
  channel.retry_at =
      schedule.now() + schedule.between(0ms, settled_ ? 100ms : world_.paced(1s, 50ms));
}

// — subscribe replies —

bool Client::is_unsubscribing(const ClientChannel& channel) const {
  return std::ranges::any_of(waiting_, [&channel](const auto& waiting) {
    return waiting.second.kind == "unsubscribe" && waiting.second.channel == channel.name;
  });
}

void Client::subscribed(ClientChannel& channel, const Reply& reply) {
  const bool history = channel.settings.has_history();
  if (history && !reply.positioned) {
    violated("subscribe", fmt::format("channel {}: no position", channel.name));
    return;
  }
  // An unsubscribe may be on its way already; its reply ends what begins here.
  channel.phase = is_unsubscribing(channel) ? Phase::kUnsubscribing : Phase::kLive;
  channel.lost = false;
  channel.unlogged.clear();
  channel.positioned = history;
  if (!history) {
    return;
  }
  const EpochLog* log = world_.checker().find(channel.name, reply.epoch);
  if (log == nullptr || (!reply.recovered && reply.offset > log->head().value)) {
    violated("unknown position", fmt::format("channel {}: subscribed at {} of {}", channel.name,
                                             reply.offset, reply.epoch));
    return;
  }
  if (channel.asked_recovery) {
    check_recovery(channel, reply);
  } else if (reply.recovered || reply.was_recovering) {
    violated("recovery", fmt::format("channel {}: recovered unasked", channel.name));
  }
  if (!reply.recovered) {
    check_fresh(channel, reply);
  }
  channel.seen = Position{reply.epoch, Offset{reply.offset}};
  channel.resumable = true;
  for (const std::string& body : reply.publications) {
    publication(channel, body);
  }
}

void Client::check_recovery(ClientChannel& channel, const Reply& reply) {
  const replay::Retention& kept = channel.settings.history;
  const std::string where = fmt::format("channel {} from {} of {}", channel.name,
                                        channel.asked.offset.value, channel.asked.epoch);
  if (!reply.was_recovering) {
    violated("recovery", fmt::format("{}: asked and not answered", where));
  }
  if (!reply.recovered) {
    if (world_.checker().certainly_held(channel.name, channel.asked, kept)) {
      violated("refused without need", where);
    }
    return;
  }
  const EpochLog* log = world_.checker().find(channel.name, reply.epoch);
  if (reply.epoch != channel.asked.epoch || reply.offset != channel.asked.offset.value ||
      reply.offset > log->head().value) {
    violated("recovered wrongly", fmt::format("{} at {} of {}", where, reply.offset, reply.epoch));
  }
  if (channel.top_at_send.epoch == channel.asked.epoch &&
      Checker::certainly_gone(channel.asked, channel.top_at_send.offset, kept)) {
    violated("recovered wrongly",
             fmt::format("{}: the history of {} did not reach so far", where, kept.count_max));
  }
}

void Client::check_fresh(ClientChannel& channel, const Reply& reply) {
  const EpochLog& log = *world_.checker().find(channel.name, reply.epoch);
  channel.fold_known = false;
  if (channel.snapshot) {
    channel.sum = reply.offset == 0 ? 0 : log.at(Offset{reply.offset}).sum;
    channel.fold_known = true;
    if (reply.data != fold_text(channel.sum, reply.offset)) {
      violated("snapshot and stream",
               fmt::format("channel {} at {}: the snapshot says {}, the log {}", channel.name,
                           reply.offset, reply.data, fold_text(channel.sum, reply.offset)));
    }
    return;
  }
  const std::uint64_t behind = channel.newest && reply.was_recovering ? 1 : 0;
  if (reply.epoch == channel.top_at_send.epoch &&
      reply.offset + behind < channel.top_at_send.offset.value) {
    violated("subscribe",
             fmt::format("channel {}: begins at {}, and {} was there before it asked", channel.name,
                         reply.offset, channel.top_at_send.offset.value));
  }
}

void Client::not_subscribed(ClientChannel& channel, const Reply& reply) {
  Schedule& schedule = world_.schedule();
  channel.phase = is_unsubscribing(channel) ? Phase::kUnsubscribing : Phase::kNone;
  channel.positioned = false;
  channel.retry_at =
      schedule.now() + schedule.between(0ms, settled_ ? 100ms : world_.paced(1s, 50ms));
  if (reply.code == kUnrecoverable && channel.refuse_unrecovered) {
    if (world_.checker().certainly_held(channel.name, channel.asked, channel.settings.history)) {
      violated("refused without need",
               fmt::format("channel {} from {}", channel.name, channel.asked.offset.value));
    }
    channel.resumable = false;
  } else if (reply.code != kInternal || !channel.snapshot) {
    violated("errors",
             fmt::format("channel {}: subscribe was answered {}", channel.name, reply.code));
  }
}

// — history —

void Client::check_history(const Command& asked, const Reply& reply) {
  const replay::Retention& kept = find(asked.channel)->settings.history;
  const bool held = world_.checker().certainly_held(asked.channel, asked.since, kept);
  if (reply.kind == "error") {
    if (reply.code != kUnrecoverable || (asked.has_since && held)) {
      violated("errors",
               fmt::format("channel {}: history was answered {}", asked.channel, reply.code));
    }
    return;
  }
  Offset last;
  for (const std::string& body : reply.publications) {
    const Offset offset{number_of(body, "offset")};
    const bool in_order =
        last.value == 0 || (asked.reverse ? offset.next() == last : offset == last.next());
    const bool beyond = !asked.has_since ||
                        (asked.reverse ? offset < asked.since.offset : offset > asked.since.offset);
    if (!in_order || !beyond || offset.value > reply.offset) {
      violated("history",
               fmt::format("channel {}: {} after {}, since {}, top {}", asked.channel, offset.value,
                           last.value, asked.since.offset.value, reply.offset));
    }
    world_.checker().check_body(name_, asked.channel, reply.epoch, offset, body);
    last = offset;
  }
  if (reply.publications.size() > asked.limit) {
    violated("history", fmt::format("channel {}: more than {}", asked.channel, asked.limit));
  }
  if (asked.reverse || reply.publications.size() == asked.limit) {
    return;
  }
  if (last.value != 0 && last.value != reply.offset) {
    violated("history",
             fmt::format("channel {}: ends at {} of {}", asked.channel, last.value, reply.offset));
  }
  if (asked.has_since && held &&
      reply.publications.size() != reply.offset - asked.since.offset.value) {
    violated("history",
             fmt::format("channel {}: {} publications since {}, top {}", asked.channel,
                         reply.publications.size(), asked.since.offset.value, reply.offset));
  }
}

// — the end —

void Client::note_situation() const {
  for (const ClientChannel& channel : channels_) {
    if (channel.phase == Phase::kSubscribing) {
      TRUNKLINE_SOMETIMES("stop while subscribing");
    } else if (channel.phase == Phase::kUnsubscribing) {
      TRUNKLINE_SOMETIMES("stop while unsubscribing");
    } else if (connected_ && channel.lost) {
      TRUNKLINE_SOMETIMES("stop during a resync");
    }
  }
  for (const auto& [id, command] : waiting_) {
    if (command.kind == "publish") {
      TRUNKLINE_SOMETIMES("stop while a publish is on its way");
    } else if (command.kind == "history") {
      TRUNKLINE_SOMETIMES("stop while a history is on its way");
    }
  }
}

void Client::check_caught_up(bool everything) {
  if (!connected_) {
    violated("liveness", "not connected");
    return;
  }
  for (const auto& [id, command] : waiting_) {
    violated("liveness", fmt::format("{} {} was not answered", command.kind, id));
  }
  for (const ClientChannel& channel : channels_) {
    const bool placed = channel.positioned || channel.phase != Phase::kLive;
    check_granted(channel);
    const bool wanted =
        channel.from_server ? world_.is_granted(name_, channel.name) : channel.wanted;
    if (!wanted || (!placed && !everything)) {
      continue;
    }
    const Position top = top_of(channel.name);
    if (channel.phase != Phase::kLive || channel.seen != top) {
      violated("liveness",
               fmt::format("channel {}: phase {}, at {} of {}, and the top is {} of {}",
                           channel.name, static_cast<int>(channel.phase), channel.seen.offset.value,
                           channel.seen.epoch, top.offset.value, top.epoch));
    }
  }
}

}  // namespace trunkline::sim
