// SPDX-License-Identifier: Apache-2.0
#include "server/local_subscriber.h"

#include "hub/resume.h"

#include <utility>

namespace trunkline {

HubSubscription& HubSubscription::operator=(HubSubscription&& other) noexcept {
  if (this != &other) {
    end();
    state_ = std::move(other.state_);
  }
  return *this;
}

void HubSubscription::end() {
  if (!state_) {
    return;
  }
  const std::shared_ptr<State> state = std::move(state_);
  state_.reset();
  const std::lock_guard lock(state->mutex);
  state->ended = true;
  if (state->wake) {
    state->wake();
  }
}

}  // namespace trunkline

namespace trunkline::server {

namespace {

constexpr int kSnapshotAttemptsMax = 3;
// What one subscriber reads before others have their turn.
constexpr int kReadsPerTurn = 256;

}  // namespace

LocalSubscriber::LocalSubscriber(const Place& place, HubSubscribeOptions options,
                                 std::shared_ptr<HubSubscription::State> state)
    : place_(place), options_(std::move(options)), state_(std::move(state)) {}

void LocalSubscriber::begin(std::string channel, hub::ChannelSettings settings) {
  channel_ = std::move(channel);
  place_.all.insert(shared_from_this());
  {
    const std::lock_guard lock(state_->mutex);
    state_->wake = [&runtime = place_.runtime, shard = place_.shard.self(),
                    weak = weak_from_this()] {
      runtime.post(shard, [weak](net::Shard& /*shard*/) {
        if (const auto self = weak.lock()) {
          self->leave();
        }
      });
    };
  }
  hub::HubShard::Attach request{
      .channel = channel_, .settings = settings, .member = {}, .sink = {}, .take = {}};
  request.sink = [weak = weak_from_this()]() -> hub::Sink* { return weak.lock().get(); };
  request.take = [weak = weak_from_this()](std::unique_ptr<hub::Subscription> subscription,
                                           const hub::Attached& where) {
    if (const auto self = weak.lock()) {
      self->attached(std::move(subscription), where);
    }
  };
  // It is no member: presence and joins are for clients.
  request.settings.presence = false;
  request.settings.join_leave = false;
  place_.shard.hub().attach(std::move(request), place_.shard.environment().now.monotonic);
}

void LocalSubscriber::attached(std::unique_ptr<hub::Subscription> subscription,
                               const hub::Attached& where) {
  subscription_ = std::move(subscription);
  attached_top_ = where.top;
  if (options_.since.has_value()) {
    if (const std::optional<Offset> next = hub::resume_from(where, *options_.since)) {
      start({.position = {where.top.epoch, options_.since->offset}, .recovered = true, .data = {}},
            *next);
      return;
    }
  }
  if (!options_.snapshot) {
    if (const SnapshotFunction* registered = place_.snapshots.find(channel_)) {
      options_.snapshot = *registered;
    }
  }
  if (options_.snapshot) {
    ask_snapshot();
    return;
  }
  start({.position = where.top, .recovered = false, .data = {}}, where.top.offset.next());
}

void LocalSubscriber::ask_snapshot() {
  ++snapshot_attempts_;
  place_.snapshots.run(options_.snapshot, {channel_, attached_top_}, place_.runtime,
                       place_.shard.self(),
                       [weak = weak_from_this()](Result<session::Snapshot> snapshot) {
                         if (const auto self = weak.lock()) {
                           self->snapshot_taken(std::move(snapshot));
                         }
                       });
}

void LocalSubscriber::snapshot_taken(Result<session::Snapshot> snapshot) {
  if (!subscription_) {
    return;
  }
  if (!snapshot.has_value()) {
    end(snapshot.error());
    return;
  }
  const Position at = snapshot->position.value_or(attached_top_);
  const Offset next = at.offset.next();
  if (at.epoch == subscription_->epoch() && subscription_->window().holds(next)) {
    start({.position = at, .recovered = false, .data = snapshot->data}, next);
    return;
  }
  if (snapshot_attempts_ >= kSnapshotAttemptsMax) {
    end(Error{ErrorCode::kUnrecoverablePosition,
              "every snapshot was older than what the log of channel '" + channel_ + "' holds"});
    return;
  }
  attached_top_ = {subscription_->epoch(), subscription_->window().head()};
  ask_snapshot();
}

void LocalSubscriber::start(const SubscriptionStart& start, Offset next) {
  state_->run([&](HubSubscriber& subscriber) {
    if (subscriber.on_start) {
      subscriber.on_start(start);
    }
  });
  subscription_->resume_at(next);
}

void LocalSubscriber::on_ready(hub::Subscription& /*subscription*/) {
  if (!reading_) {
    read();
  }
}

void LocalSubscriber::read() {
  reading_ = false;
  if (!subscription_) {
    return;
  }
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const Offset offset = subscription_->next();
    const std::string_view json = subscription_->read();
    if (json.empty()) {
      return;
    }
    state_->run([&](HubSubscriber& subscriber) {
      if (subscriber.on_publication) {
        subscriber.on_publication({.offset = offset, .json = json});
      }
    });
  }
  reading_ =
      place_.runtime.post(place_.shard.self(), [weak = weak_from_this()](net::Shard& /*shard*/) {
        if (const auto self = weak.lock()) {
          self->read();
        }
      });
}

void LocalSubscriber::on_event(hub::Subscription& /*subscription*/, hub::EventKind /*kind*/,
                               const hub::SharedFrame& /*frame*/) {
  // Joins are not asked for, and what is not in the log has no place in an exact sequence.
}

void LocalSubscriber::on_lost(hub::Subscription& /*subscription*/) {
  end(Error{ErrorCode::kUnrecoverablePosition,
            "the log of channel '" + channel_ + "' has moved on; subscribe again"});
}

void LocalSubscriber::end(const Error& error) {
  state_->run([&](HubSubscriber& subscriber) {
    if (subscriber.on_end) {
      subscriber.on_end(error);
    }
  });
  leave();
}

void LocalSubscriber::leave() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->ended = true;
    state_->wake = nullptr;
  }
  subscription_.reset();
  place_.all.erase(shared_from_this());
}

}  // namespace trunkline::server
