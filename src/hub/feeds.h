// SPDX-License-Identifier: Apache-2.0
//
// The subscribing half of a shard's hub: for each channel with subscribers here a feed (what this
// shard can read of the log) and the list of cursors.
#pragma once

#include "core/intrusive_list.h"
#include "core/string_map.h"
#include "core/timer_wheel.h"
#include "hub/frame_compressor.h"
#include "hub/messages.h"
#include "hub/subscription.h"
#include "replay/log.h"
#include "replay/window.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::hub {

struct FeedStats {
  std::uint64_t subscriptions = 0;  // now
  std::uint64_t deliveries = 0;     // publications handed to sinks
  std::uint64_t delivered_bytes = 0;
  std::uint64_t lost = 0;  // times a subscriber was told that its next is gone
};

struct DirtyFeed;
struct ServedFeed;

// One channel on one shard. Its timer fires when the mirror's oldest publication has become too
// old.
class Feed final : public ListHook<DirtyFeed>, public ListHook<ServedFeed>, private Timer {
 public:
  Feed(std::string name, TimerWheel& timers) : channel_(std::move(name)), timers_(timers) {}

  [[nodiscard]] const std::string& channel() const { return channel_; }

  [[nodiscard]] const std::string& epoch() const { return epoch_; }

  [[nodiscard]] const replay::Window& window() const { return *window_; }

 private:
  friend class Feeds;
  friend class Subscription;

  void on_timer(TimePoint now) override;
  void arm();

  // Whether what the home asked for has come.
  [[nodiscard]] bool is_served() const {
    return asked_.has_value() && (served_ >= *asked_ || subscriptions_.empty());
  }

  const std::string channel_;
  TimerWheel& timers_;
  std::string epoch_;
  replay::Window mirror_;                    // of a channel whose home is elsewhere
  const replay::Window* window_ = &mirror_;  // or the log's own
  Offset served_;                            // up to which the fastest subscriber has taken all
  std::optional<Offset> asked_;              // up to which the home wants that to be
  Offset trim_to_;                           // what the home has forgotten, applied after the turn
  Duration keep_{};                          // how long the home's log keeps a publication
  // The newest of the window compressed, under the same offsets, while somebody wants that.
  std::unique_ptr<replay::Log> compressed_;
  std::size_t compressed_subscriptions_ = 0;
  std::vector<Subscription*> subscriptions_;
  std::size_t attaching_ = 0;  // requests on their way
};

// Thread: owning shard.
class Feeds {
 public:
  // Called with a channel and client whenever a counted subscriber ends.
  using Detach = std::move_only_function<void(const std::string& channel, std::string client)>;

  // Called with a channel and how far the fastest subscriber is, once for each ask().
  using Progress = std::move_only_function<void(const std::string& channel, Offset served)>;

  // The timers must outlive the feeds.
  Feeds(TimerWheel& timers, Detach detach, Progress progress)
      : timers_(timers), detach_(std::move(detach)), progress_(std::move(progress)) {}

  Feeds(const Feeds&) = delete;
  Feeds& operator=(const Feeds&) = delete;
  ~Feeds() = default;

  // An attach request is on its way: the feed stays until finish(). What is mirrored of the home's
  // log is forgotten when the log's retention does.
  void begin(std::string_view channel, const replay::Retention& retention);
  // It was answered: a subscription for the sink, or none (nullptr) when nobody wants it any more,
  // which is then undone at the home.
  std::unique_ptr<Subscription> finish(std::string_view channel, Sink* sink, std::string client);

  // The channel's home is this shard: subscribers read the log's own window.
  void bind(std::string_view channel, const std::string& epoch, const replay::Window& window);
  // The first answer for a channel from its home elsewhere.
  void install(std::string_view channel, const std::string& epoch, const Extension& window);
  void apply(const FeedUpdate& update);
  void deliver(const FeedEvent& event);
  // The home waits until a subscriber here has taken everything up to `through`, or there is none.
  void ask(const ProgressRequest& request);
  // The channel has news: its subscribers are told at the end of the turn.
  void mark_dirty(std::string_view channel);

  // End of turn, first step: tells the sinks of all subscribers that have something.
  void announce();
  // End of turn, after the connections were flushed: forgets what the homes have forgotten.
  void trim();
  // Tells the sinks of those who have lost their place.
  void tell_lost();
  // Tells homes that asked.
  void report();

  // Something is left for the steps above.
  [[nodiscard]] bool has_work() const {
    return !dirty_.empty() || !announced_.empty() || !lost_.empty();
  }

  // Absent: nobody gets compressed frames. Must outlive the feeds.
  void set_compressor(FrameCompressor* compressor) { compressor_ = compressor; }

  [[nodiscard]] const FeedStats& stats() const { return stats_; }

 private:
  friend class Subscription;

  Feed* find(std::string_view channel);
  static void fetch_ahead(const std::vector<Subscription*>& all, std::size_t told);
  void add(Feed& feed, Subscription& subscription);
  void remove(Subscription& subscription);
  void drop_if_unused(Feed& feed);
  void note_served(Feed& feed);
  void want_compressed(Feed& feed);
  void unwant_compressed(Feed& feed);
  // Compresses what is new, once for all subscribers here.
  void compress(Feed& feed);

  TimerWheel& timers_;
  FrameCompressor* compressor_ = nullptr;
  Detach detach_;
  Progress progress_;
  StringMap<std::unique_ptr<Feed>> feeds_;
  IntrusiveList<Feed, DirtyFeed> dirty_;
  IntrusiveList<Feed, DirtyFeed> announced_;
  IntrusiveList<Feed, ServedFeed> served_;  // whose homes have an answer to expect
  IntrusiveList<Subscription, LostHook> lost_;
  FeedStats stats_;
};

}  // namespace trunkline::hub
