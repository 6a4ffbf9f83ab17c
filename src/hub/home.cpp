// SPDX-License-Identifier: Apache-2.0
#include "core/assert.h"
#include "core/probe.h"
#include "hub/feeds.h"
#include "hub/history.h"
#include "hub/home_channel.h"

#include <algorithm>
#include <set>
#include <utility>

namespace trunkline::hub {

namespace {

class Encoder final : public replay::FrameEncoder {
 public:
  Encoder(const Codec& codec, Codec::Publish publish) : codec_(codec), publish_(publish) {}

  [[nodiscard]] replay::EncodedFrame encode(std::string_view epoch, Offset offset) const override {
    return codec_.publication_frame(publish_, epoch, offset);
  }

 private:
  const Codec& codec_;
  const Codec::Publish publish_;
};

}  // namespace

Home::Home(ShardId self, replay::Engine& engine, const Codec& codec, Mail& mail, Feeds& feeds,
           TimerWheel& timers)
    : self_(self), engine_(engine), codec_(codec), mail_(mail), feeds_(feeds), timers_(timers) {}

Home::~Home() = default;

Home::Channel* Home::find(std::string_view name) {
  const auto found = channels_.find(name);
  return found == channels_.end() ? nullptr : found->second.get();
}

Home::Channel& Home::open(const std::string& name, const ChannelSettings& settings) {
  Channel* channel = find(name);
  if (channel == nullptr) {
    auto made = std::make_unique<Channel>(name);
    channel = made.get();
    channel->log = &engine_.open(name, settings.history);
    channel->announced = channel->log->head();
    channels_.emplace(name, std::move(made));
    stats_.channels = channels_.size();
  }
  channel->settings = settings;
  return *channel;
}

void Home::close_if_unused(Channel& channel, TimePoint now) {
  // One that published in this turn is looked at again when the turn ends.
  if (channel.subscribers > 0 || channel.waiting ||
      static_cast<ListHook<Dirty>&>(channel).is_linked()) {
    return;
  }
  if (channel.keys) {
    channel.keys->forget(now);
    if (!channel.keys->empty()) {
      return;
    }
  }
  // Without history the position means nothing to anybody who is not subscribed.
  const bool remember = channel.settings.has_history();
  engine_.release(channel.name, remember ? channel.settings.meta_ttl : Duration{0}, now);
  channels_.erase(channels_.find(channel.name));
  stats_.channels = channels_.size();
}

void Home::publish(PublishRequest request, TimePoint now) {
  Channel& channel = open(request.channel, request.settings);
  // Behind others that wait it waits as well, so as not to overtake.
  if (channel.waiting || outruns(channel, request)) {
    wait(channel, std::move(request), now);
  } else {
    publish_now(channel, std::move(request), now);
  }
}

void Home::publish_now(Channel& channel, PublishRequest request, TimePoint now) {
  if (!request.idempotency_key.empty()) {
    if (!channel.keys) {
      channel.keys = std::make_unique<RecentKeys>();
    }
    const Position* first = channel.keys->find(request.idempotency_key, now);
    if (first != nullptr && !TRUNKLINE_MUTANT("key-forgotten")) {
      TRUNKLINE_SOMETIMES("publication key repeated");
      answer<Position>(request.origin, std::move(request.done), *first);
      close_if_unused(channel, now);
      return;
    }
  }
  const bool wanted = channel.subscribers > 0 || request.settings.has_history();
  if (!request.logged || !wanted) {
    ++stats_.publications;
    if (channel.subscribers > 0) {
      event(channel, EventKind::kUnloggedPublication,
            codec_.unlogged_frame(request.channel, request.publication));
    }
    appended(&channel, pending_of(request), channel.log->head(), now);
    close_if_unused(channel, now);
    return;
  }
  const Encoder encoder(codec_, {.channel = channel.name,
                                 .publication = request.publication,
                                 .with_offset = request.settings.has_history()});
  // The engine may answer later, when the request and perhaps the channel are gone.
  engine_.append(channel.name, encoder, now,
                 [this, now, name = channel.name,
                  pending = pending_of(request)](Result<Offset> offset) mutable {
                   Channel* target = find(name);
                   if (target != nullptr && offset.has_value()) {
                     ++stats_.publications;
                     static_cast<ListHook<Dirty>&>(*target).unlink();
                     dirty_.push_back(*target);
                   }
                   appended(target, std::move(pending), std::move(offset), now);
                 });
}

Home::Pending Home::pending_of(PublishRequest& request) {
  return Pending{std::move(request.idempotency_key), request.origin, std::move(request.done)};
}

void Home::appended(Channel* channel, Pending pending, Result<Offset> offset, TimePoint now) {
  if (!offset.has_value()) {
    answer<Position>(pending.origin, std::move(pending.done), std::unexpected(offset.error()));
    return;
  }
  Position position{channel == nullptr ? std::string{} : channel->log->epoch(), *offset};
  if (channel != nullptr && channel->keys && !pending.idempotency_key.empty()) {
    channel->keys->remember(std::move(pending.idempotency_key), position, now);
    static_cast<ListHook<Keyed>&>(*channel).unlink();
    keyed_.push_back(*channel);
  }
  answer<Position>(pending.origin, std::move(pending.done), std::move(position));
}

std::shared_ptr<const Extension> Home::extension(const Channel& channel, Offset from) const {
  const replay::Window& window = channel.log->window();
  auto made = std::make_shared<Extension>();
  made->first = window.first();
  made->begin = std::max(from, window.first());
  made->records.reserve(window.head().value + 1 - made->begin.value);
  for (Offset offset = made->begin; offset <= window.head(); offset = offset.next()) {
    const replay::Record& record = window.record(offset);
    made->records.emplace_back(record, window.segment_of(record));
  }
  return made;
}

void Home::announce(Channel& channel) {
  if (channel.announced == channel.log->head()) {
    return;
  }
  std::shared_ptr<const Extension> news;
  for (const Interest& interest : channel.shards) {
    if (interest.shard == self_) {
      feeds_.mark_dirty(channel.name);
      continue;
    }
    if (!news) {
      news = extension(channel, channel.announced.next());
    }
    mail_.post(interest.shard, FeedUpdate{channel.name, news});
  }
  channel.announced = channel.log->head();
  if (channel.waiting || is_far_ahead(channel)) {
    ask_progress(channel);
  }
}

void Home::announce() {
  while (Channel* channel = dirty_.pop_front()) {
    announce(*channel);
    announced_.push_back(*channel);
  }
}

void Home::trim(TimePoint now) {
  while (Channel* channel = announced_.pop_front()) {
    engine_.trim(channel->name, now);
    close_if_unused(*channel, now);
  }
  while (Channel* channel = keyed_.front()) {
    channel->keys->forget(now);
    if (!channel->keys->empty()) {
      break;
    }
    static_cast<ListHook<Keyed>&>(*channel).unlink();
    close_if_unused(*channel, now);
  }
}

void Home::attach(AttachRequest request, TimePoint now) {
  Channel& channel = open(request.channel, request.settings);
  // The shards with subscribers learn first what was published until now, so that the answer finds
  // each of them exactly at the top that it names.
  if (!TRUNKLINE_MUTANT("attach-overtakes-updates")) {
    announce(channel);
  }
  auto interest = std::ranges::find(channel.shards, request.origin, &Interest::shard);
  const bool first_there = interest == channel.shards.end();
  if (first_there) {
    const Offset head = channel.log->head();
    channel.shards.push_back(Interest{request.origin, 0, head, head});
    channel.standing_still = false;
    interest = channel.shards.end() - 1;
  }
  ++interest->subscribers;
  ++channel.subscribers;
  const ClientInfo member = request.member;
  if (request.settings.presence || request.settings.join_leave) {
    channel.members.insert_or_assign(member.client, member);
  }
  Attached attached{.top = channel.log->top(),
                    .history_first = channel.log->history_first(request.settings.history, now)};
  if (request.origin == self_) {
    feeds_.bind(channel.name, channel.log->epoch(), channel.log->window());
    channel.joining = member.client;
    request.done(std::move(attached));
  } else {
    std::shared_ptr<const Extension> window;
    if (first_there) {
      window = extension(channel, channel.log->window().first());
    }
    mail_.post(request.origin, AttachAnswer{channel.name, std::move(attached), std::move(window),
                                            std::move(request.done)});
  }
  // Looked up again: the continuation may have ended the subscription and with it the channel.
  Channel* still = find(request.channel);
  if (still != nullptr) {
    still->joining.clear();
  }
  if (request.settings.join_leave && still != nullptr && still->members.contains(member.client)) {
    event(*still, EventKind::kJoin, codec_.join_frame(still->name, member));
  }
}

void Home::detach(DetachNotice notice, TimePoint now) {
  Channel* channel = find(notice.channel);
  TRUNKLINE_ASSERT(channel != nullptr);
  auto interest = std::ranges::find(channel->shards, notice.origin, &Interest::shard);
  TRUNKLINE_ASSERT(interest != channel->shards.end() && interest->subscribers > 0);
  --channel->subscribers;
  if (--interest->subscribers == 0) {
    channel->shards.erase(interest);
  }
  const auto member = channel->members.find(notice.client);
  if (member != channel->members.end() && !TRUNKLINE_MUTANT("detach-keeps-member")) {
    // Nobody has seen one join that is refused before its attach was answered.
    if (channel->settings.join_leave && notice.client != channel->joining) {
      event(*channel, EventKind::kLeave, codec_.leave_frame(channel->name, member->second));
    }
    channel->members.erase(member);
  }
  // Perhaps the fastest has left. Whoever gets an answer may act on it, so the channel is looked up
  // again.
  release(notice.channel, now);
  channel = find(notice.channel);
  if (channel != nullptr) {
    close_if_unused(*channel, now);
  }
}

void Home::event(Channel& channel, EventKind kind, std::string frame) {
  const auto shared = std::make_shared<const std::string>(std::move(frame));
  for (const Interest& interest : channel.shards) {
    FeedEvent message{channel.name, kind, shared};
    if (interest.shard == self_) {
      feeds_.deliver(message);
    } else {
      mail_.post(interest.shard, std::move(message));
    }
  }
}

void Home::history(HistoryRequest request, TimePoint now) {
  Channel& channel = open(request.channel, request.settings);
  Result<History> result = read_history(
      *channel.log, channel.log->history_first(request.settings.history, now), request.query);
  answer<History>(request.origin, std::move(request.done), std::move(result));
  close_if_unused(channel, now);
}

void Home::history_remove(HistoryRemoveRequest request, TimePoint now) {
  Channel& channel = open(request.channel, request.settings);
  announce(channel);
  engine_.clear(channel.name);
  answer<Position>(request.origin, std::move(request.done), channel.log->top());
  close_if_unused(channel, now);
}

void Home::presence(PresenceRequest request) {
  Presence result;
  if (const Channel* channel = find(request.channel)) {
    result.reserve(channel->members.size());
    for (const auto& [client, info] : channel->members) {
      result.push_back(info);
    }
  }
  answer<Presence>(request.origin, std::move(request.done), std::move(result));
}

void Home::presence_stats(PresenceStatsRequest request) {
  PresenceStats result;
  if (const Channel* channel = find(request.channel)) {
    std::set<std::string_view> users;
    for (const auto& [client, info] : channel->members) {
      users.insert(info.user);
    }
    result = PresenceStats{channel->members.size(), users.size()};
  }
  answer<PresenceStats>(request.origin, std::move(request.done), result);
}

void Home::channels(ChannelsRequest request) {
  ChannelCounts result;
  for (const auto& [name, channel] : channels_) {
    if (channel->subscribers > 0) {
      result.emplace_back(name, channel->subscribers);
    }
  }
  answer<ChannelCounts>(request.origin, std::move(request.done), std::move(result));
}

}  // namespace trunkline::hub
