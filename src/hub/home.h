// SPDX-License-Identifier: Apache-2.0
//
// The publishing half of a shard's hub: the channels whose home is this shard. It orders their
// publications, knows who is subscribed and on which shards, and tells those shards once a turn,
// whatever the number of publications and of subscribers there.
#pragma once

#include "core/intrusive_list.h"
#include "core/string_map.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "hub/codec.h"
#include "hub/messages.h"
#include "hub/pacing.h"
#include "replay/engine.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::hub {

class Feeds;

struct HomeStats {
  std::uint64_t channels = 0;  // now, with subscribers or a remembered publication key
  std::uint64_t publications = 0;
  std::uint64_t delayed = 0;        // publications that waited for a subscriber
  std::uint64_t waiting_bytes = 0;  // now, of such
};

// Thread: owning shard.
class Home final : private Timer {
 public:
  // All references must outlive the home.
  Home(ShardId self, replay::Engine& engine, const Codec& codec, Mail& mail, Feeds& feeds,
       TimerWheel& timers);
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;
  ~Home() override;

  // Before the first publication.
  void set_pacing(const Pacing& pacing) { pacing_ = pacing; }

  // Requests; answered through the mail, or at once when the origin is this shard.
  void publish(PublishRequest request, TimePoint now);
  void attach(AttachRequest request, TimePoint now);
  void detach(DetachNotice notice, TimePoint now);
  void progress(const ProgressNotice& notice, TimePoint now);
  void history(HistoryRequest request, TimePoint now);
  void history_remove(HistoryRemoveRequest request, TimePoint now);
  void presence(PresenceRequest request);
  void presence_stats(PresenceStatsRequest request);
  void channels(ChannelsRequest request);

  // End of turn, first step: sends what was published to the other shards with subscribers.
  void announce();
  // End of turn, after the connections were flushed: forgets what the logs need not keep.
  void trim(TimePoint now);

  // Something is left for the steps above.
  [[nodiscard]] bool has_work() const { return !dirty_.empty() || !announced_.empty(); }

  [[nodiscard]] const HomeStats& stats() const { return stats_; }

 private:
  struct Channel;
  struct Dirty;
  struct Keyed;
  struct Waited;

  // What is left of a publish request while the engine works.
  struct Pending {
    std::string idempotency_key;
    ShardId origin = 0;
    Done<Position> done;
  };

  Channel& open(const std::string& name, const ChannelSettings& settings);
  Channel* find(std::string_view name);
  void close_if_unused(Channel& channel, TimePoint now);
  void announce(Channel& channel);
  void event(Channel& channel, EventKind kind, std::string frame);
  std::shared_ptr<const Extension> extension(const Channel& channel, Offset from) const;
  static Pending pending_of(PublishRequest& request);
  void appended(Channel* channel, Pending pending, Result<Offset> offset, TimePoint now);

  // Publishes, or answers what was published under the same key before.
  void publish_now(Channel& channel, PublishRequest request, TimePoint now);

  // Pacing (home_pacing.cpp).
  [[nodiscard]] bool outruns(const Channel& channel, const PublishRequest& request) const;
  [[nodiscard]] bool is_far_ahead(const Channel& channel) const;
  void wait(Channel& channel, PublishRequest request, TimePoint now);
  // The first of those that wait.
  void publish_first(Channel& channel, TimePoint now);
  void ask_progress(Channel& channel);
  // Publishes what need not wait any longer.
  void release(const std::string& name, TimePoint now);
  void arm_waits();
  // A publication has waited long enough.
  void on_timer(TimePoint now) override;
  template <class T>
  void answer(ShardId origin, Done<T> done, Result<T> result);

  const ShardId self_;
  replay::Engine& engine_;
  const Codec& codec_;
  Mail& mail_;
  Feeds& feeds_;
  StringMap<std::unique_ptr<Channel>> channels_;
  IntrusiveList<Channel, Dirty> dirty_;      // with publications not announced yet
  IntrusiveList<Channel, Dirty> announced_;  // to be trimmed
  Pacing pacing_;
  TimerWheel& timers_;
  IntrusiveList<Channel, Waited> waited_;  // with publications that wait, longest first
  IntrusiveList<Channel, Keyed> keyed_;    // that remember publication keys, oldest first
  HomeStats stats_;
};

}  // namespace trunkline::hub
