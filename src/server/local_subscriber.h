// SPDX-License-Identifier: Apache-2.0
//
// A subscriber inside the process: the same cursor as a client's, read publication by publication.
#pragma once

#include <trunkline/hub.h>

#include "hub/shard.h"
#include "net/shard.h"
#include "server/snapshots.h"

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace trunkline {

// Shared by the handle and the shard. The lock is held while a callback runs, so that ending waits
// for it; recursive, so that a callback may end its own subscription.
struct HubSubscription::State {
  std::recursive_mutex mutex;
  bool ended = false;
  HubSubscriber subscriber;
  std::function<void()> wake;  // lets the shard notice the end; empty once it has

  template <class Call>
  void run(Call call) {
    const std::lock_guard lock(mutex);
    if (!ended) {
      call(subscriber);
    }
  }
};

}  // namespace trunkline

namespace trunkline::server {

class LocalSubscriber;
// Those of one shard. Thread: owning shard.
using LocalSubscribers = std::set<std::shared_ptr<LocalSubscriber>>;

// Thread: the channel's home shard.
class LocalSubscriber final : public hub::Sink,
                              public std::enable_shared_from_this<LocalSubscriber> {
 public:
  // Where it lives and what it uses; all outlive it.
  struct Place {
    net::Shard& shard;
    net::Runtime& runtime;
    Snapshots& snapshots;
    LocalSubscribers& all;
  };

  LocalSubscriber(const Place& place, HubSubscribeOptions options,
                  std::shared_ptr<HubSubscription::State> state);
  ~LocalSubscriber() override = default;

  // Joins `place.all` and attaches.
  void begin(std::string channel, hub::ChannelSettings settings);
  // Tells the subscriber and leaves.
  void end(const Error& error);

  // hub::Sink
  void on_ready(hub::Subscription& subscription) override;
  void on_event(hub::Subscription& subscription, hub::EventKind kind,
                const hub::SharedFrame& frame) override;
  void on_lost(hub::Subscription& subscription) override;

 private:
  void attached(std::unique_ptr<hub::Subscription> subscription, const hub::Attached& where);
  void ask_snapshot();
  void snapshot_taken(Result<session::Snapshot> snapshot);
  void start(const SubscriptionStart& start, Offset next);
  void read();
  void leave();

  const Place place_;
  HubSubscribeOptions options_;
  std::shared_ptr<HubSubscription::State> state_;
  std::unique_ptr<hub::Subscription> subscription_;
  std::string channel_;
  Position attached_top_;
  int snapshot_attempts_ = 0;
  bool reading_ = false;  // a task that reads on is on its way
};

}  // namespace trunkline::server
