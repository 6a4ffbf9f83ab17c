// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that the server begins. They attach as a client's do (session_subscribe.cpp) and
// differ in who asks and in how the client is told:
//
//   at connect   all of them are attached before the connect is answered; the reply has a result
//                for each, with what the client has missed, and the cursors go on behind the reply
//   later        a push says where the subscription stands; the cursor goes on behind the push
//
// Until the client has been told the cursor is pinned: nothing overtakes the reply or the push, and
// nothing is lost between. A client can not ask for such a subscription again, so one that loses
// its place or expires ends the connection: at the next connect the client says where it stood.
#include "core/probe.h"
#include "session/json.h"
#include "session/session.h"
#include "session/session_inl.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace trunkline::session {

namespace {

// Of recovered publications inside a subscribe reply, or of all channels inside a connect reply;
// the rest follows as ordinary pushes.
constexpr std::size_t kRecoveredBytesMax = 128UL * 1024;

std::vector<std::string> sorted_names(const std::vector<ServerChannel>& channels) {
  std::vector<std::string> names;
  names.reserve(channels.size());
  for (const ServerChannel& channel : channels) {
    names.push_back(channel.channel);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::size_t Session::reply_room(const Subscribing& pending) const {
  switch (pending.beginning) {
    case Beginning::kCommand:
      return kRecoveredBytesMax;
    case Beginning::kPush:
      return 0;  // a push has no publications
    case Beginning::kConnect:
      return kRecoveredBytesMax - std::min(kRecoveredBytesMax, connecting_->recovered_bytes);
  }
  return 0;
}

bool Session::is_from_server(std::string_view channel) {
  const Entry* entry = find_entry(channel);
  return entry != nullptr && entry->from_server;
}

// — at connect —

// The command's views do not last until the connect is answered.
void Session::remember_asked(std::span<const ConnectSub> subs) {
  if (subs.empty()) {
    return;
  }
  connecting_ = std::make_unique<Connecting>();
  for (const ConnectSub& sub : subs) {
    ServerChannel& asked = connecting_->asked.emplace_back();
    asked.channel = sub.channel;
    if (sub.recover) {
      asked.since = Position{std::string(sub.epoch), Offset{sub.offset}};
    }
  }
}

// Those of the token, the user's own, and those that the application says; each once, from where
// the client stood.
std::vector<ServerChannel> Session::channels_at_connect(const ConnectionClaims& claims) {
  const ClientOptions& options = environment_.options.client;
  std::vector<ServerChannel> all = claims.channels;
  if (options.personal_channel && !user_.empty()) {
    all.push_back({.channel = personal_channel(environment_.options.channel,
                                               options.personal_channel_namespace, user_)});
  }
  const std::vector<ServerChannel> asked =
      connecting_ ? connecting_->asked : std::vector<ServerChannel>{};
  if (environment_.server_channels) {
    std::vector<std::string> names;
    for (const ServerChannel& one : asked) {
      names.push_back(one.channel);
    }
    std::ranges::move(environment_.server_channels(user_, names), std::back_inserter(all));
  }
  std::vector<ServerChannel> channels;
  for (ServerChannel& channel : all) {
    if (channels.size() > options.channel_limit) {
      break;  // too many, however many more there are
    }
    if (std::ranges::find(channels, channel.channel, &ServerChannel::channel) != channels.end()) {
      continue;
    }
    const auto before = std::ranges::find(asked, channel.channel, &ServerChannel::channel);
    if (before != asked.end()) {
      channel.since = before->since;
    }
    channels.push_back(std::move(channel));
  }
  return channels;
}

void Session::attach_at_connect(std::uint32_t id, const ConnectionClaims& claims,
                                std::string_view data) {
  std::vector<ServerChannel> channels = channels_at_connect(claims);
  if (channels.empty()) {
    connecting_.reset();
    write_connected(id, claims, data, {});
    return;
  }
  if (channels.size() > environment_.options.client.channel_limit) {
    log_limit(Limit::kChannels,
              "was closed (3505): the server has more channels for it than client.channel_limit");
    disconnect(kDisconnectChannelLimit);
    return;
  }
  connecting_ = std::make_unique<Connecting>();
  connecting_->id = id;
  connecting_->claims = claims;
  connecting_->claims.channels.clear();
  connecting_->data = data;
  connecting_->attaching = channels.size();
  connecting_->received = environment_.now.monotonic;
  ++in_flight_;
  if (environment_.hub.refuses_growth()) {
    log_limit(Limit::kMemory, "may not connect (100): trunkline.memory_limit is reached");
    refuse_connect(kErrorOutOfMemory);
    return;
  }
  const ChannelRules& rules = environment_.options.channel;
  for (const ServerChannel& channel : channels) {
    const bool known = find_options(rules, channel.channel) != nullptr;
    if (!known || channel.channel.empty() || !is_valid_channel(rules, channel.channel)) {
      environment_.log(fmt::format("client {} is to have channel '{}', which has {}", client_,
                                   channel.channel, known ? "no valid name" : "no namespace"));
      refuse_connect(known ? kErrorBadRequest : kErrorUnknownChannel);
      return;
    }
  }
  for (ServerChannel& channel : channels) {
    const ChannelOptions& options = *find_options(rules, channel.channel);
    begin_from_server(std::move(channel), options, Beginning::kConnect);
    if (!connecting_) {
      return;  // it was the last one, or the end
    }
  }
}

// All results are there.
void Session::finish_connect() {
  const std::unique_ptr<Connecting> connecting = std::move(connecting_);
  JsonText subs;
  subs.open();
  for (const Entry& entry : entries_) {
    subs.raw(subs.view().back() == '{' ? "" : ",").string(entry.pending->channel).raw(":");
    subs.raw(entry.pending->result);
  }
  subs.close();
  write_connected(connecting->id, connecting->claims, connecting->data, subs.view());
  for (Entry& entry : entries_) {
    const std::unique_ptr<Subscribing> pending = std::move(entry.pending);
    const Offset next = TRUNKLINE_MUTANT("connect-begins-at-head")
                            ? entry.subscription->window().head().next()
                            : pending->next;
    if (pending->next <= entry.subscription->window().head()) {
      TRUNKLINE_SOMETIMES("publications behind a connect reply");
    }
    go_live(entry, pending->join_leave, next);
  }
  answered(connecting->received, true);
}

// The stale timer goes on; the client closes the connection itself.
void Session::refuse_connect(const ErrorReply& error) {
  const std::unique_ptr<Connecting> connecting = std::move(connecting_);
  const std::vector<Entry> ending = std::move(entries_);
  entries_.clear();
  state_ = State::kRefused;
  reply_error(connecting->id, error);
  answered(connecting->received, true);
}

void Session::note_token_channels(const ConnectionClaims& claims) {
  if (!claims.channels.empty()) {
    token_channels_ = std::make_unique<std::vector<std::string>>(sorted_names(claims.channels));
  }
}

// Whether a token grants what the connection began with.
bool Session::has_token_channels(const ConnectionClaims& claims) const {
  return token_channels_ ? *token_channels_ == sorted_names(claims.channels)
                         : claims.channels.empty();
}

// — at any time —

bool Session::subscribe_from_server(ServerChannel channel) {
  if (state_ != State::kConnected || ending_ != nullptr) {
    return false;
  }
  if (const Entry* there = find_entry(channel.channel)) {
    // Ended while on its way, and wanted again: then it need not end.
    const bool again = there->pending && there->pending->ended.has_value();
    if (again) {
      there->pending->ended.reset();
    }
    return again;
  }
  const ChannelRules& rules = environment_.options.channel;
  const ChannelOptions* options = find_options(rules, channel.channel);
  if (options == nullptr || channel.channel.empty() || !is_valid_channel(rules, channel.channel)) {
    environment_.log(fmt::format("client {} can not be subscribed to '{}': no such channel",
                                 client_, channel.channel));
    return false;
  }
  if (entries_.size() >= environment_.options.client.channel_limit) {
    log_limit(Limit::kChannels, "can not be subscribed to more than client.channel_limit channels");
    return false;
  }
  if (environment_.hub.refuses_growth()) {
    log_limit(Limit::kMemory, "can not be subscribed: trunkline.memory_limit is reached");
    return false;
  }
  if (link_.outbox().above_high_water()) {
    log_limit(Limit::kSlow, "was closed as slow (3008): client.queue_max_size is full");
    end_soon(kDisconnectSlow);
    return false;
  }
  begin_from_server(std::move(channel), *options, Beginning::kPush);
  return true;
}

void Session::begin_from_server(ServerChannel channel, const ChannelOptions& options,
                                Beginning beginning) {
  auto pending = std::make_unique<Subscribing>();
  pending->ticket = ++last_ticket_;
  pending->beginning = beginning;
  pending->channel = std::move(channel.channel);
  pending->received = environment_.now.monotonic;
  pending->data = std::move(channel.data);
  pending->recover = channel.since.has_value();
  pending->since = std::move(channel.since).value_or(Position{});
  pending->recoverable = options.has_history() && options.force_recovery;
  pending->positioned = pending->recoverable || options.force_positioning;
  pending->join_leave = options.join_leave && options.force_push_join_leave;
  std::unique_ptr<Granted> granted;
  if (!channel.info.empty() || channel.expire_at.has_value()) {
    granted = grant(pending->channel, pending->ticket, std::move(channel.info), channel.expire_at);
  }
  entries_.push_back(Entry{nullptr, std::move(pending), std::move(granted), true});
  attach(entries_.back());
}

void Session::finish_server_side(Entry& entry, Offset result_offset, Offset next,
                                 std::string_view publications, std::string_view data) {
  Subscribing& pending = *entry.pending;
  if (!pending.data.empty()) {
    data = pending.data;
  }
  if (pending.beginning == Beginning::kPush) {
    // A push has no room for a cache channel's newest: it comes as the first publication.
    push_subscribed(entry, publications.empty() ? next : result_offset, data);
    return;
  }
  JsonText json;
  json.open();
  write_result(json, pending, entry.subscription->epoch(), result_offset, publications, data);
  pending.result = json.close().take();
  pending.next = next;
  connecting_->recovered_bytes += publications.size();
  if (--connecting_->attaching == 0) {
    finish_connect();
  }
}

// {"push":{"channel":"…","subscribe":{…}}}: the publication behind its position is the first one.
void Session::push_subscribed(Entry& entry, Offset next, std::string_view data) {
  const std::unique_ptr<Subscribing> pending = std::move(entry.pending);
  pending->recovered = pending->was_recovering = false;  // not the words of a push
  JsonText json;
  json.raw(R"({"push":{"channel":)").string(pending->channel).raw(R"(,"subscribe":)").open();
  write_result(json, *pending, entry.subscription->epoch(), Offset{next.value - 1}, {}, data);
  json.raw("}}}");
  emit(json.view());
  go_live(entry, pending->join_leave, next);
  catch_up(entry, *pending);
  if (!in_batch_) {
    resume();
  }
}

// Of a snapshot that could not be had.
void Session::fail_server_side(Entry& entry, const ErrorReply& error) {
  if (entry.pending->beginning == Beginning::kConnect) {
    refuse_connect(error);
    return;
  }
  // The client has never heard of it.
  const std::unique_ptr<Subscribing> pending = std::move(entry.pending);
  environment_.log(
      fmt::format("client {} could not be subscribed to '{}'", client_, pending->channel));
  erase_entry(entry);
  for (const std::uint32_t id : pending->unsubscribes) {
    reply(id, "unsubscribe", "{}");
  }
  take_up(std::move(pending->later));
  if (!in_batch_) {
    resume();
  }
}

}  // namespace trunkline::session
