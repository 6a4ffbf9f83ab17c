// SPDX-License-Identifier: Apache-2.0
#include "hub/feeds.h"

#include "core/assert.h"
#include "core/probe.h"
#include "replay/log.h"

#include <algorithm>
#include <utility>

namespace trunkline::hub {

Feed* Feeds::find(std::string_view channel) {
  const auto found = feeds_.find(channel);
  return found == feeds_.end() ? nullptr : found->second.get();
}

void Feed::on_timer(TimePoint now) {
  Offset first = mirror_.first();
  while (first <= mirror_.head() && mirror_.record(first).time + keep_ <= now) {
    first = first.next();
  }
  mirror_.trim_before(first);
  arm();
}

void Feed::arm() {
  if (mirror_.empty()) {
    timers_.disarm(*this);
  } else {
    timers_.arm(*this, mirror_.record(mirror_.first()).time + keep_);
  }
}

void Feeds::begin(std::string_view channel, const replay::Retention& retention) {
  Feed* feed = find(channel);
  if (feed == nullptr) {
    auto made = std::make_unique<Feed>(std::string(channel), timers_);
    feed = made.get();
    feeds_.emplace(made->channel(), std::move(made));
  }
  const Duration history = retention.count_max == 0 ? Duration{0} : retention.age_max;
  feed->keep_ = std::max(history, replay::kCatchUp.age_max);
  ++feed->attaching_;
}

std::unique_ptr<Subscription> Feeds::finish(std::string_view channel, Sink* sink,
                                            std::string client) {
  Feed* feed = find(channel);
  TRUNKLINE_ASSERT(feed != nullptr && feed->attaching_ > 0);
  --feed->attaching_;
  if (sink != nullptr) {
    return std::make_unique<Subscription>(*this, *feed, *sink, std::move(client));
  }
  if (!TRUNKLINE_MUTANT("gone-subscriber-stays")) {
    detach_(feed->channel(), std::move(client));
  }
  drop_if_unused(*feed);
  return nullptr;
}

void Feeds::bind(std::string_view channel, const std::string& epoch, const replay::Window& window) {
  Feed* feed = find(channel);
  TRUNKLINE_ASSERT(feed != nullptr);
  feed->epoch_ = epoch;
  feed->window_ = &window;
}

void Feeds::install(std::string_view channel, const std::string& epoch, const Extension& window) {
  Feed* feed = find(channel);
  if (feed == nullptr) {
    return;  // everybody who waited for it has gone
  }
  // The home sends a whole window only to a shard without subscribers.
  TRUNKLINE_ASSERT(feed->subscriptions_.empty());
  feed->epoch_ = epoch;
  feed->mirror_ = replay::Window(Offset{window.begin.value - 1});
  feed->trim_to_ = window.first;
  for (const auto& [record, segment] : window.records) {
    feed->mirror_.push(record, segment);
  }
  feed->arm();
}

void Feeds::apply(const FeedUpdate& update) {
  Feed* feed = find(update.channel);
  if (feed == nullptr || feed->window_ != &feed->mirror_) {
    return;
  }
  const Extension& extension = *update.extension;
  const Offset expected = feed->mirror_.head().next();
  if (extension.begin != expected) {
    // On its way when the last subscriber left and another came: the answer to that one's attach
    // brings a whole window. Nobody reads this one.
    TRUNKLINE_SOMETIMES("update from before the attach");
    TRUNKLINE_ASSERT(feed->subscriptions_.empty());
    return;
  }
  for (int times = TRUNKLINE_MUTANT("feed-update-twice") ? 2 : 1; times > 0; --times) {
    for (const auto& [record, segment] : extension.records) {
      feed->mirror_.push(record, segment);
    }
  }
  feed->trim_to_ = std::max(feed->trim_to_, extension.first);
  if (!feed->is_armed()) {
    feed->arm();
  }
  mark_dirty(update.channel);
}

void Feeds::deliver(const FeedEvent& event) {
  Feed* feed = find(event.channel);
  if (feed == nullptr) {
    return;
  }
  const bool join_leave = event.kind != EventKind::kUnloggedPublication;
  for (Subscription* subscription : feed->subscriptions_) {
    if (subscription->live_ && (!join_leave || subscription->wants_join_leave_)) {
      subscription->sink_.on_event(*subscription, event.kind, event.frame);
    }
  }
}

void Feeds::ask(const ProgressRequest& request) {
  // Without a feed everybody has left, which the home is about to learn.
  if (Feed* feed = find(request.channel)) {
    feed->asked_ = request.through;
    note_served(*feed);
  }
}

void Feeds::note_served(Feed& feed) {
  auto& hook = static_cast<ListHook<ServedFeed>&>(feed);
  if (feed.is_served() && !hook.is_linked()) {
    served_.push_back(feed);
  }
}

void Feeds::mark_dirty(std::string_view channel) {
  Feed* feed = find(channel);
  if (feed == nullptr) {
    return;
  }
  static_cast<ListHook<DirtyFeed>&>(*feed).unlink();
  dirty_.push_back(*feed);
}

// Ten thousand cursors are in no cache, nor are their sinks and what those touch: they are fetched
// while others are told, each step when the one before it has come.
void Feeds::fetch_ahead(const std::vector<Subscription*>& all, std::size_t told) {
  static constexpr std::size_t kAhead = 4;
  if (told + 3 * kAhead < all.size()) {
    __builtin_prefetch(all[told + 3 * kAhead]);
  }
  if (told + 2 * kAhead < all.size()) {
    __builtin_prefetch(&all[told + 2 * kAhead]->sink_);
  }
  if (told + kAhead < all.size()) {
    if (const auto* touched = static_cast<const char*>(all[told + kAhead]->sink_.touched_)) {
      __builtin_prefetch(touched);
      __builtin_prefetch(touched + 64);
      __builtin_prefetch(touched + 128);
    }
  }
}

void Feeds::announce() {
  while (Feed* feed = dirty_.pop_front()) {
    compress(*feed);
    const std::vector<Subscription*>& all = feed->subscriptions_;
    for (std::size_t i = 0; i < all.size(); ++i) {
      fetch_ahead(all, i);
      Subscription* subscription = all[i];
      // One that is linked waits for its connection already: it stays where it is, and costs
      // nothing more.
      if (subscription->live_ && !subscription->outbox::Source::is_linked()) {
        subscription->sink_.on_ready(*subscription);
      }
    }
    announced_.push_back(*feed);
  }
}

void Feeds::trim() {
  while (Feed* feed = announced_.pop_front()) {
    feed->mirror_.trim_before(TRUNKLINE_MUTANT("mirror-trimmed-too-far") ? feed->mirror_.head()
                                                                         : feed->trim_to_);
  }
}

void Feeds::report() {
  while (Feed* feed = served_.pop_front()) {
    const Offset asked = *std::exchange(feed->asked_, std::nullopt);
    progress_(feed->channel(), std::max(feed->served_, asked));
  }
}

void Feeds::tell_lost() {
  while (Subscription* subscription = lost_.pop_front()) {
    ++stats_.lost;
    if (!TRUNKLINE_MUTANT("lost-not-told")) {
      subscription->sink_.on_lost(*subscription);
    }
  }
}

void Feeds::add(Feed& feed, Subscription& subscription) {
  subscription.index_ = static_cast<std::uint32_t>(feed.subscriptions_.size());
  feed.subscriptions_.push_back(&subscription);
  ++stats_.subscriptions;
}

void Feeds::remove(Subscription& subscription) {
  Feed& feed = subscription.feed_;
  TRUNKLINE_ASSERT(feed.subscriptions_[subscription.index_] == &subscription);
  Subscription* last = feed.subscriptions_.back();
  feed.subscriptions_[subscription.index_] = last;
  last->index_ = subscription.index_;
  feed.subscriptions_.pop_back();
  --stats_.subscriptions;
  if (subscription.wants_compressed_) {
    unwant_compressed(feed);
  }
  note_served(feed);
  detach_(feed.channel(), std::move(subscription.client_));
  drop_if_unused(feed);
}

namespace {

// A frame as it is.
class Ready final : public replay::FrameEncoder {
 public:
  explicit Ready(std::string frame) : frame_(std::move(frame)) {}

  [[nodiscard]] replay::EncodedFrame encode(std::string_view /*epoch*/,
                                            Offset /*offset*/) const override {
    return {.bytes = frame_, .body_begin = 0, .body_bytes = 0};
  }

 private:
  std::string frame_;
};

}  // namespace

void Feeds::want_compressed(Feed& feed) {
  if (++feed.compressed_subscriptions_ == 1) {
    // Older ones are sent as they are to whoever still needs them.
    feed.compressed_ = std::make_unique<replay::Log>(feed.epoch_, feed.window().head());
  }
}

void Feeds::unwant_compressed(Feed& feed) {
  if (--feed.compressed_subscriptions_ == 0) {
    feed.compressed_.reset();
  }
}

void Feeds::compress(Feed& feed) {
  if (!feed.compressed_) {
    return;
  }
  const replay::Window& window = feed.window();
  if (feed.compressed_->head().next() < window.first()) {
    // What came in between has been forgotten already.
    TRUNKLINE_SOMETIMES("compressed log begins again");
    feed.compressed_ = std::make_unique<replay::Log>(feed.epoch_, Offset{window.first().value - 1});
  }
  replay::Log& log = *feed.compressed_;
  while (log.head() < window.head()) {
    const Offset offset = log.head().next();
    const TimePoint time = window.record(offset).time;
    log.append(Ready(compressor_->compress(window.frame(offset))), time);
    // Without a history of its own: only for those who are a little behind.
    log.trim({}, time);
  }
}

void Feeds::drop_if_unused(Feed& feed) {
  if (feed.subscriptions_.empty() && feed.attaching_ == 0) {
    feeds_.erase(feeds_.find(feed.channel()));
  }
}

}  // namespace trunkline::hub
