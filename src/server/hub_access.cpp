// SPDX-License-Identifier: Apache-2.0
//
// The public Hub: each call goes to the channel's home shard by its mailbox.
#include <trunkline/hub.h>

#include "core/string_map.h"
#include "server/core.h"
#include "server/json_view.h"

#include <memory>
#include <utility>

namespace trunkline {

namespace {

hub::ShardId home_of(net::Runtime& runtime, std::string_view channel) {
  return static_cast<hub::ShardId>(stable_hash(channel) % runtime.shards());
}

// Calls the publisher back once; destroyed uncalled (the server is stopping) it says so.
class PublishAnswer {
 public:
  explicit PublishAnswer(PublishDone done) : done_(std::move(done)) {}

  PublishAnswer(PublishAnswer&& other) noexcept : done_(std::exchange(other.done_, nullptr)) {}

  PublishAnswer(const PublishAnswer&) = delete;
  PublishAnswer& operator=(const PublishAnswer&) = delete;
  PublishAnswer& operator=(PublishAnswer&&) = delete;

  ~PublishAnswer() {
    if (done_) {
      done_(fail(ErrorCode::kClosed, "the server has stopped"));
    }
  }

  void operator()(Result<Position> position) { std::exchange(done_, nullptr)(std::move(position)); }

 private:
  PublishDone done_;
};

}  // namespace

void Hub::publish(std::string channel, std::string json, PublishOptions options, PublishDone done) {
  PublishAnswer answer(std::move(done));
  const auto settings = core_.settings(channel);
  if (!settings.has_value()) {
    answer(fail(ErrorCode::kUnknownChannel, "no namespace for channel '" + channel + "'"));
    return;
  }
  std::optional<std::string> data = server::checked_json(json);
  if (!data.has_value()) {
    answer(fail(ErrorCode::kMalformed, "the data for channel '" + channel + "' is not JSON"));
    return;
  }
  net::Runtime& runtime = core_.runtime();
  const hub::ShardId home = home_of(runtime, channel);
  runtime.post(
      home, [channel = std::move(channel), data = std::move(*data), options = std::move(options),
             settings = *settings, answer = std::move(answer)](net::Shard& shard) mutable {
        shard.hub().publish(
            {.channel = std::move(channel),
             .settings = settings,
             .publication = {.data = std::move(data), .info = {}, .tags = std::move(options.tags)},
             .idempotency_key = std::move(options.idempotency_key),
             .done = std::move(answer)},
            shard.environment().now.monotonic);
      });
}

void Hub::on_snapshot(std::string prefix, SnapshotFunction function) {
  core_.snapshots().add(std::move(prefix), std::move(function));
}

HubSubscription Hub::subscribe(std::string channel, HubSubscribeOptions options,
                               HubSubscriber subscriber) {
  auto state = std::make_shared<HubSubscription::State>();
  state->subscriber = std::move(subscriber);
  const auto settings = core_.settings(channel);
  net::Runtime& runtime = core_.runtime();
  const auto refuse = [&state](ErrorCode code, std::string context) {
    state->run([&](HubSubscriber& called) {
      if (called.on_end) {
        called.on_end(Error{code, std::move(context)});
      }
    });
  };
  if (!settings.has_value()) {
    refuse(ErrorCode::kUnknownChannel, "no namespace for channel '" + channel + "'");
    return HubSubscription{};
  }
  const hub::ShardId home = home_of(runtime, channel);
  const bool posted =
      runtime.post(home, [&core = core_, channel = std::move(channel), settings = *settings,
                          options = std::move(options), state](net::Shard& shard) mutable {
        const std::lock_guard lock(state->mutex);
        if (!state->ended) {
          const auto made = std::make_shared<server::LocalSubscriber>(
              server::LocalSubscriber::Place{shard, core.runtime(), core.snapshots(),
                                             core.locals(shard.self())},
              std::move(options), state);
          made->begin(std::move(channel), settings);
        }
      });
  if (!posted) {
    refuse(ErrorCode::kClosed, "the server has stopped");
  }
  return HubSubscription{std::move(state)};
}

}  // namespace trunkline
