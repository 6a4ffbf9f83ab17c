// SPDX-License-Identifier: Apache-2.0
//
// One shard's hub: both halves behind one door. A request goes to the channel's home shard, by the
// mail or at once when that is this shard; its continuation runs here. The caller drives turns:
//
//   handle(messages), requests …  →  announce()  →  flush the connections  →  settle(now)
#pragma once

#include "core/string_map.h"
#include "hub/feeds.h"
#include "hub/home.h"
#include "hub/messages.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace trunkline::hub {

struct HubStats {
  HomeStats home;
  FeedStats feeds;
  replay::EngineStats engine;
};

// Thread: owning shard.
class HubShard {
 public:
  // `shards`: how many there are, the same on each. All references must outlive the hub.
  HubShard(ShardId self, ShardId shards, replay::Engine& engine, const Codec& codec, Mail& mail,
           TimerWheel& timers);
  HubShard(const HubShard&) = delete;
  HubShard& operator=(const HubShard&) = delete;
  ~HubShard() = default;

  [[nodiscard]] ShardId home_of(std::string_view channel) const {
    return static_cast<ShardId>(stable_hash(channel) % shards_);
  }

  [[nodiscard]] ShardId self() const { return self_; }

  [[nodiscard]] ShardId shards() const { return shards_; }

  // What arrived from another shard.
  void handle(Message message, TimePoint now);

  // `origin` of each request is filled in here.
  void publish(PublishRequest request, TimePoint now);
  void history(HistoryRequest request, TimePoint now);
  void history_remove(HistoryRemoveRequest request, TimePoint now);
  void presence(PresenceRequest request, TimePoint now);
  void presence_stats(PresenceStatsRequest request, TimePoint now);
  // The subscribed channels of all shards together.
  void channels(Done<ChannelCounts> done, TimePoint now);

  // A sink's place in a channel. `request.done` is called with where it may start; it returns the
  // sink, or nullptr when nobody is there any more (everything is undone then). A pinned
  // subscription is then given to `take`.
  struct Attach {
    std::string channel;
    ChannelSettings settings;
    ClientInfo member;
    // Finds the sink when the answer is there; nullptr: gone.
    std::move_only_function<Sink*()> sink;
    // Takes the subscription. Called once, after `sink` returned one.
    std::move_only_function<void(std::unique_ptr<Subscription>, const Attached&)> take;
  };

  void attach(Attach request, TimePoint now);

  // While true, publications are answered with kLimitExceeded: nothing may be kept that is not
  // there already. Who attaches asks refuses_growth() before.
  void refuse_growth(bool refuse) { refuse_growth_ = refuse; }

  [[nodiscard]] bool refuses_growth() const { return refuse_growth_; }

  void announce();
  void settle(TimePoint now);

  // Before the first publication.
  void set_pacing(const Pacing& pacing) { home_.set_pacing(pacing); }

  // Before the first subscription; must outlive the hub. Without one nobody gets compressed frames.
  void set_compressor(FrameCompressor& compressor) { feeds_.set_compressor(&compressor); }

  // Another turn is needed though nothing came: a session that went on when its connection was
  // flushed may have published, a cursor may have lost its place.
  [[nodiscard]] bool has_work() const { return feeds_.has_work() || home_.has_work(); }

  [[nodiscard]] HubStats stats() const;

  // Now, on this shard.
  [[nodiscard]] std::uint64_t waiting_bytes() const { return home_.stats().waiting_bytes; }

  [[nodiscard]] std::uint64_t subscriptions() const { return feeds_.stats().subscriptions; }

 private:
  template <class Request>
  void to_home(Request request, TimePoint now);
  void dispatch(Message message, TimePoint now);

  const ShardId self_;
  const ShardId shards_;
  replay::Engine& engine_;
  Mail& mail_;
  bool refuse_growth_ = false;
  TimePoint now_;  // of the turn, for ends of subscriptions, which carry no time
  Feeds feeds_;
  Home home_;
};

}  // namespace trunkline::hub
