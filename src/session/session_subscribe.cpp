// SPDX-License-Identifier: Apache-2.0
//
// Subscribing: attach and resume are one path. The home shard counts the subscriber and says where
// the log stands; from then on nothing can be missed, however long the rest takes. Then it is
// decided where to begin (what the client has seen, a snapshot, or now), the reply is queued, and
// the cursor goes on from there. Whatever does not fit the reply follows from the log.
#include "core/assert.h"
#include "core/probe.h"
#include "hub/history.h"
#include "hub/resume.h"
#include "session/json.h"
#include "session/session.h"
#include "session/session_inl.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace trunkline::session {

namespace {

constexpr std::int64_t kFlagRejectUnrecovered = 2;
// A snapshot so slow that the log was trimmed meanwhile is taken again, so often.
constexpr int kSnapshotAttemptsMax = 3;
// Of commands that wait for a subscribe under way: unsubscribes, and what follows them.
constexpr std::size_t kWaitingUnsubscribesMax = 64;
constexpr std::size_t kLaterBytesMax = 64UL * 1024;

}  // namespace

Session::Entry* Session::find_entry(std::string_view channel) {
  const auto found = std::ranges::find_if(
      entries_, [channel](const Entry& entry) { return entry.channel() == channel; });
  return found == entries_.end() ? nullptr : &*found;
}

Session::Entry* Session::find_ticket(std::uint64_t ticket) {
  const auto found = std::ranges::find_if(entries_, [ticket](const Entry& entry) {
    return entry.pending && entry.pending->ticket == ticket;
  });
  return found == entries_.end() ? nullptr : &*found;
}

void Session::erase_entry(const Entry& entry) {
  const auto index = &entry - entries_.data();
  const Entry ended = std::move(entries_[static_cast<std::size_t>(index)]);
  entries_.erase(entries_.begin() + index);
}

std::optional<ErrorReply> Session::check_token(const SubscribeCommand& command,
                                               std::unique_ptr<Granted>& granted) {
  const Result<SubscriptionClaims> claims =
      environment_.authenticator.verify_subscription(command.token, environment_.now.wall);
  if (!claims.has_value()) {
    environment_.log(fmt::format("client {}: token for channel '{}' refused: {}", client_,
                                 command.channel, to_string(claims.error())));
    return claims.error().code == ErrorCode::kTokenExpired ? kErrorTokenExpired
                                                           : kErrorPermissionDenied;
  }
  if (claims->user != user_ || claims->channel != command.channel ||
      (!claims->client.empty() && claims->client != client_)) {
    disconnect(kDisconnectInvalidToken);
    return kErrorPermissionDenied;
  }
  granted = grant(command.channel, last_ticket_ + 1, claims->info, claims->expire_at);
  return std::nullopt;
}

std::optional<ErrorReply> Session::check_subscribe(const SubscribeCommand& command,
                                                   const ChannelOptions*& options,
                                                   std::unique_ptr<Granted>& granted, bool& asks) {
  const ChannelRules& rules = environment_.options.channel;
  if (command.channel.size() > rules.max_length) {
    return kErrorBadRequest;
  }
  if (find_entry(command.channel) != nullptr) {
    return kErrorAlreadySubscribed;
  }
  if (entries_.size() >= environment_.options.client.channel_limit) {
    log_limit(Limit::kChannels, "wants more channels (106) than client.channel_limit");
    return kErrorLimitExceeded;
  }
  if (environment_.hub.refuses_growth()) {
    log_limit(Limit::kMemory, "may not subscribe (100): trunkline.memory_limit is reached");
    return kErrorOutOfMemory;
  }
  if (command.has_tags_filter) {
    return kErrorBadRequest;
  }
  options = find_options(rules, command.channel);
  if (options == nullptr) {
    return kErrorUnknownChannel;
  }
  if (!is_valid_channel(rules, command.channel)) {
    return kErrorBadRequest;
  }
  if (command.type != 0) {
    return kErrorPermissionDenied;
  }
  if (!command.token.empty()) {
    return check_token(command, granted);
  }
  if (is_private(rules, command.channel)) {
    return kErrorPermissionDenied;
  }
  switch (user_limit(rules, *options, command.channel, user_)) {
    case UserLimit::kIncluded:
      return std::nullopt;
    case UserLimit::kExcluded:
      return kErrorPermissionDenied;
    case UserLimit::kNone:
      break;
  }
  asks = environment_.application != nullptr &&
         environment_.application->decides_subscribe(command.channel, *options);
  if (asks) {
    return std::nullopt;
  }
  const bool allowed = may_subscribe(*options, asker(command.channel));
  return allowed ? std::nullopt : std::optional(kErrorPermissionDenied);
}

void Session::subscribe(std::uint32_t id, const SubscribeCommand& command, std::string_view line) {
  const bool known_delta = command.delta.empty() || command.delta == "fossil";
  if (command.channel.empty() || !known_delta) {
    disconnect(kDisconnectBadRequest);
    return;
  }
  const Entry* there = find_entry(command.channel);
  if (there != nullptr && there->pending && !there->pending->unsubscribes.empty()) {
    // It will have been unsubscribed by then: "already subscribed" would be wrong.
    put_off(id, *there->pending, line);
    return;
  }
  const ChannelOptions* options = nullptr;
  std::unique_ptr<Granted> granted;
  bool asks_application = false;
  if (const auto error = check_subscribe(command, options, granted, asks_application)) {
    if (state_ == State::kConnected) {
      reply_error(id, *error);
    }
    return;
  }
  const Asker asks = asker(command.channel);
  const bool reads_history = options->has_history() && may_read_history(*options, asks);
  auto pending = std::make_unique<Subscribing>();
  pending->ticket = ++last_ticket_;
  pending->channel = command.channel;
  pending->id = id;
  pending->received = environment_.now.monotonic;
  pending->recover = command.recover;
  pending->since = Position{std::string(command.epoch), Offset{command.offset}};
  pending->recoverable = options->has_history() &&
                         (options->force_recovery ||
                          (command.recoverable && (options->allow_recovery || reads_history)));
  pending->positioned = pending->recoverable || options->force_positioning ||
                        (command.positioned && (options->allow_positioning || reads_history));
  pending->join_leave =
      options->join_leave &&
      (options->force_push_join_leave || (command.join_leave && may_read_presence(*options, asks)));
  pending->reject_unrecovered = (command.flag & kFlagRejectUnrecovered) != 0;

  ++in_flight_;
  entries_.push_back(Entry{nullptr, std::move(pending), std::move(granted)});
  if (asks_application) {
    ask_subscribe(entries_.back(), command.data);
  } else {
    attach(entries_.back());
  }
}

void Session::attach(const Entry& entry) {
  const Subscribing& pending = *entry.pending;
  const ChannelOptions* options = find_options(environment_.options.channel, pending.channel);
  TRUNKLINE_ASSERT(options != nullptr);
  hub::HubShard::Attach request{
      .channel = pending.channel,
      .settings = channel_settings(environment_.options.channel, *options),
      .member = {client_, user_, info_, entry.granted ? entry.granted->info : std::string{}},
      .sink = {},
      .take = {}};
  const auto find = [&environment = environment_, session_id = id_,
                     ticket = pending.ticket]() -> Session* {
    Session* session = environment.registry.find(session_id);
    return session != nullptr && session->find_ticket(ticket) != nullptr ? session : nullptr;
  };
  request.sink = [find]() -> hub::Sink* { return find(); };
  request.take = [find, ticket = pending.ticket](std::unique_ptr<hub::Subscription> subscription,
                                                 const hub::Attached& where) {
    if (Session* session = find()) {
      session->attached(ticket, std::move(subscription), where);
    }
  };
  environment_.hub.attach(std::move(request), environment_.now.monotonic);
}

// The newest publication, for a subscriber of a cache channel.
std::optional<std::string> Session::cached(const Subscribing& pending,
                                           const hub::Subscription& subscription) {
  const hub::Attached& where = pending.attached;
  const bool same_epoch = pending.since.epoch.empty() || pending.since.epoch == where.top.epoch;
  if (same_epoch && pending.recover && pending.since.offset == where.top.offset) {
    return std::string{};
  }
  if (where.history_first > where.top.offset) {
    return std::nullopt;
  }
  return std::string(subscription.window().body(where.top.offset));
}

// What the client has missed, as far as one reply may hold it; `next` is what follows.
std::string Session::missed(Offset& next, Offset top, const replay::Window& window,
                            std::size_t bytes_max) const {
  const std::uint64_t count_max = environment_.options.client.recovery_max_publication_limit;
  const Offset first = next;
  std::size_t bytes = 0;
  while (next <= top && next.value - first.value < count_max) {
    bytes += window.record(next).body_bytes;
    if (bytes > bytes_max && (next > first || bytes_max == 0)) {
      break;
    }
    next = next.next();
  }
  if (next <= top) {
    TRUNKLINE_SOMETIMES("recovery goes on behind its reply");
  }
  const Offset last{next.value - 1};
  if (TRUNKLINE_MUTANT("live-repeats-recovered") && last >= first) {
    next = last;
  }
  return hub::join_bodies(window, first, last);
}

void Session::attached(std::uint64_t ticket, std::unique_ptr<hub::Subscription> subscription,
                       const hub::Attached& where) {
  Entry& entry = *find_ticket(ticket);
  Subscribing& pending = *entry.pending;
  pending.attached = where;
  entry.subscription = std::move(subscription);
  const ChannelOptions* options = find_options(environment_.options.channel, pending.channel);
  TRUNKLINE_ASSERT(options != nullptr);
  Offset next = where.top.offset.next();
  Offset result = where.top.offset;
  std::string publications;
  const bool cache = options->force_recovery_mode == RecoveryMode::kCache;
  pending.was_recovering =
      pending.recoverable && (pending.recover || (cache && options->auto_cache_recover));
  if (pending.was_recovering && cache) {
    std::optional<std::string> newest = cached(pending, *entry.subscription);
    pending.recovered = newest.has_value();
    publications = std::move(newest).value_or(std::string{});
  } else if (pending.was_recovering) {
    const std::optional<Offset> from = hub::resume_from(where, pending.since);
    pending.recovered = from.has_value();
    if (from.has_value()) {
      // The client's own position comes back; the publications bring it forward.
      result = pending.since.offset;
      next = *from;
      publications =
          missed(next, where.top.offset, entry.subscription->window(), reply_room(pending));
    }
  }
  const bool lost = pending.was_recovering && !pending.recovered;
  if (lost && options->on_lost == OnLost::kLatest && where.history_first <= where.top.offset) {
    // What is left of a state that was missed: the newest of it.
    TRUNKLINE_SOMETIMES("a late one begins with the newest");
    result = Offset{where.top.offset.value - 1};
    next = where.top.offset;
  }
  if (pending.was_recovering) {
    ++(pending.recovered ? environment_.stats.recoveries : environment_.stats.failed_recoveries);
  }
  if (pending.was_recovering && !pending.recovered && pending.reject_unrecovered) {
    fail_subscribe(ticket, kErrorUnrecoverablePosition);
    return;
  }
  const bool has_data = pending.beginning != Beginning::kCommand && !pending.data.empty();
  const bool snapshot = !pending.recovered && !has_data && environment_.snapshots != nullptr &&
                        environment_.snapshots->covers(pending.channel);
  if (snapshot) {
    ask_snapshot(entry);
    return;
  }
  finish_subscribe(entry, result, next, publications, pending.data);
}

void Session::ask_snapshot(Entry& entry) {
  Subscribing& pending = *entry.pending;
  ++pending.snapshot_attempts;
  environment_.snapshots->take(
      pending.channel, pending.attached.top,
      [&environment = environment_, session_id = id_,
       ticket = pending.ticket](Result<Snapshot> snapshot) {
        Session* session = environment.registry.find(session_id);
        if (session != nullptr && session->find_ticket(ticket) != nullptr) {
          session->snapshot_taken(ticket, std::move(snapshot));
        }
      });
}

void Session::snapshot_taken(std::uint64_t ticket, Result<Snapshot> snapshot) {
  Entry& entry = *find_ticket(ticket);
  Subscribing& pending = *entry.pending;
  if (!snapshot.has_value()) {
    environment_.log(fmt::format("snapshot of channel '{}' failed: {}", pending.channel,
                                 to_string(snapshot.error())));
    fail_subscribe(ticket, kErrorInternal);
    return;
  }
  const Position at = snapshot->position.value_or(pending.attached.top);
  const Offset next = TRUNKLINE_MUTANT("snapshot-reads-head-after")
                          ? entry.subscription->window().head().next()
                          : at.offset.next();
  const bool usable =
      at.epoch == entry.subscription->epoch() && entry.subscription->window().holds(next);
  if (usable) {
    if (next <= entry.subscription->window().head()) {
      TRUNKLINE_SOMETIMES("publications during a snapshot");
    }
    finish_subscribe(entry, at.offset, next, {}, snapshot->data);
    return;
  }
  TRUNKLINE_SOMETIMES("log trimmed during a snapshot");
  if (pending.snapshot_attempts >= kSnapshotAttemptsMax) {
    environment_.log(fmt::format(
        "channel '{}': {} snapshots in a row were older than what its log holds; a larger "
        "history_size or a faster snapshot is needed",
        pending.channel, pending.snapshot_attempts));
    fail_subscribe(ticket, kErrorInternal);
    return;
  }
  // The newest state that this shard knows of is the least that the next one must contain.
  pending.attached.top = Position{entry.subscription->epoch(), entry.subscription->window().head()};
  ask_snapshot(entry);
}

void Session::finish_subscribe(Entry& entry, Offset result_offset, Offset next,
                               std::string_view publications, std::string_view data) {
  if (entry.pending->beginning != Beginning::kCommand) {
    finish_server_side(entry, result_offset, next, publications, data);
    return;
  }
  const std::unique_ptr<Subscribing> pending = std::move(entry.pending);
  JsonText json;
  json.open();
  if (entry.granted && !entry.granted->is_applications) {
    write_expiry(json, entry.granted->expire_at, environment_.now.wall);
  }
  write_result(json, *pending, entry.subscription->epoch(), result_offset, publications, data);
  json.close();
  reply(pending->id, "subscribe", json.view());
  go_live(entry, pending->join_leave, next);
  catch_up(entry, *pending);
  answered(pending->received, false);
}

// The members of a subscribe result, in a reply or a push.
void Session::write_result(JsonText& json, const Subscribing& pending, std::string_view epoch,
                           Offset offset, std::string_view publications, std::string_view data) {
  if (pending.recoverable) {
    json.member("recoverable").raw("true");
  }
  if (pending.positioned) {
    json.member("epoch").string(epoch);
  }
  if (!publications.empty()) {
    json.member("publications").raw("[").raw(publications).raw("]");
  }
  if (pending.recovered) {
    json.member("recovered").raw("true");
  }
  if (pending.positioned && offset.value > 0) {
    json.member("offset").number(offset.value);
  }
  if (pending.positioned) {
    json.member("positioned").raw("true");
  }
  if (!data.empty()) {
    json.member("data").raw(data);
  }
  if (pending.was_recovering) {
    json.member("was_recovering").raw("true");
  }
}

// The client has been told of the subscription: publications follow.
void Session::go_live(Entry& entry, bool join_leave, Offset next) {
  if (environment_.application != nullptr) {
    environment_.application->subscribed(client_, entry.subscription->channel());
  }
  entry.subscription->want_join_leave(join_leave);
  if (link_.takes_compressed_frames()) {
    entry.subscription->want_compressed();
  }
  entry.subscription->resume_at(next);
  if (entry.granted) {
    arm();
  }
}

// What came for a subscription while it was on its way.
void Session::catch_up(Entry& entry, Subscribing& pending) {
  if (pending.ended.has_value()) {
    unsubscribe(pending.channel, *pending.ended);
  } else if (!pending.unsubscribes.empty() && !TRUNKLINE_MUTANT("late-unsubscribe-ignored")) {
    erase_entry(entry);
  }
  for (const std::uint32_t id : pending.unsubscribes) {
    reply(id, "unsubscribe", "{}");
  }
  take_up(std::move(pending.later));
}

void Session::fail_subscribe(std::uint64_t ticket, const ErrorReply& error) {
  Entry& entry = *find_ticket(ticket);
  if (entry.pending->beginning != Beginning::kCommand) {
    fail_server_side(entry, error);
    return;
  }
  const std::unique_ptr<Subscribing> pending = std::move(entry.pending);
  erase_entry(entry);
  reply_error(pending->id, error);
  for (const std::uint32_t id : pending->unsubscribes) {
    reply(id, "unsubscribe", "{}");
  }
  take_up(std::move(pending->later));
  answered(pending->received, false);
}

void Session::put_off(std::uint32_t id, Subscribing& pending, std::string_view line) {
  if (pending.later.size() + line.size() > kLaterBytesMax) {
    reply_error(id, kErrorTooManyRequests);
    return;
  }
  pending.later += pending.later.empty() ? "" : "\n";
  pending.later += line;
}

// The commands are the next ones, before those that wait already; answered() goes on with them.
void Session::take_up(std::string later) {
  if (!later.empty()) {
    later += waiting_.empty() ? "" : "\n";
    waiting_.insert(0, later);
  }
}

void Session::unsubscribe_command(std::uint32_t id, const UnsubscribeCommand& command,
                                  std::string_view line) {
  if (command.channel.empty()) {
    disconnect(kDisconnectBadRequest);
    return;
  }
  Entry* entry = find_entry(command.channel);
  if (entry != nullptr && entry->pending) {
    // It waits for the subscribe that is under way, whose reply comes first.
    TRUNKLINE_SOMETIMES("unsubscribe while subscribing");
    Subscribing& pending = *entry->pending;
    if (!pending.later.empty() || pending.unsubscribes.size() == kWaitingUnsubscribesMax) {
      put_off(id, pending, line);
    } else {
      pending.unsubscribes.push_back(id);
    }
    return;
  }
  if (entry != nullptr && !TRUNKLINE_MUTANT("unsubscribe-keeps-cursor")) {
    erase_entry(*entry);
  }
  reply(id, "unsubscribe", "{}");
}

}  // namespace trunkline::session
