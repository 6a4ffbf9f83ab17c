// SPDX-License-Identifier: Apache-2.0
//
// The public Hub: each call goes to the channel's home shard by its mailbox.
#include <trunkline/hub.h>

#include "core/string_map.h"
#include "server/core.h"
#include "server/json_view.h"
#include "server/user_sessions.h"

#include <functional>
#include <memory>
#include <utility>

namespace trunkline {

namespace {

hub::ShardId home_of(net::Runtime& runtime, std::string_view channel) {
  return static_cast<hub::ShardId>(stable_hash(channel) % runtime.shards());
}

// Calls the caller back once; destroyed uncalled (the server is stopping) it says so.
template <class T>
class HubAnswer {
 public:
  using Done = std::move_only_function<void(Result<T>)>;

  explicit HubAnswer(Done done) : done_(std::move(done)) {}

  HubAnswer(HubAnswer&& other) noexcept : done_(std::exchange(other.done_, nullptr)) {}

  HubAnswer(const HubAnswer&) = delete;
  HubAnswer& operator=(const HubAnswer&) = delete;
  HubAnswer& operator=(HubAnswer&&) = delete;

  ~HubAnswer() {
    if (done_) {
      done_(fail(ErrorCode::kClosed, "the server has stopped"));
    }
  }

  void operator()(Result<T> result) { std::exchange(done_, nullptr)(std::move(result)); }

 private:
  Done done_;
};

void act(server::Core& core, UserConnections who, std::function<bool(session::Session&)> action,
         ConnectionsDone done) {
  HubAnswer<std::size_t> answer(std::move(done));
  server::UserSelection selection{.user = std::move(who.user), .client = std::move(who.client)};
  if (selection.empty()) {
    answer(fail(ErrorCode::kInvalidArgument, "neither a user nor a client is named"));
    return;
  }
  server::with_sessions(core.runtime(), 0, std::move(selection), std::move(action),
                        [answer = std::move(answer)](std::size_t count) mutable { answer(count); });
}

}  // namespace

void Hub::publish(std::string channel, std::string json, PublishOptions options, PublishDone done) {
  HubAnswer<Position> answer(std::move(done));
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

void Hub::subscribe_user(UserConnections who, std::string channel, SubscribeUserOptions options,
                         ConnectionsDone done) {
  if (!core_.settings(channel).has_value()) {
    done(fail(ErrorCode::kUnknownChannel, "no namespace for channel '" + channel + "'"));
    return;
  }
  session::ServerChannel begun{.channel = std::move(channel), .since = std::move(options.since)};
  for (const auto& [given, out] :
       {std::pair(&options.info, &begun.info), std::pair(&options.data, &begun.data)}) {
    std::optional<std::string> checked = given->empty() ? *given : server::checked_json(*given);
    if (!checked.has_value()) {
      done(fail(ErrorCode::kMalformed,
                "info or data for channel '" + begun.channel + "' is not JSON"));
      return;
    }
    *out = std::move(*checked);
  }
  if (options.expire_at.has_value()) {
    begun.expire_at = std::chrono::time_point_cast<WallTime::duration>(*options.expire_at);
  }
  act(
      core_, std::move(who),
      [begun = std::move(begun)](session::Session& session) {
        return session.subscribe_from_server(begun);
      },
      std::move(done));
}

void Hub::unsubscribe_user(UserConnections who, std::string channel, ConnectionsDone done) {
  act(
      core_, std::move(who),
      [channel = std::move(channel)](session::Session& session) {
        return session.unsubscribe(channel, session::kUnsubscribeServer);
      },
      std::move(done));
}

void Hub::send_user(UserConnections who, std::string json, ConnectionsDone done) {
  std::optional<std::string> data = server::checked_json(json);
  if (!data.has_value()) {
    done(fail(ErrorCode::kMalformed, "the message is not JSON"));
    return;
  }
  act(
      core_, std::move(who),
      [data = std::move(*data)](session::Session& session) { return session.send(data); },
      std::move(done));
}

void Hub::disconnect_user(UserConnections who, std::uint16_t code, std::string reason,
                          ConnectionsDone done) {
  static constexpr std::size_t kReasonBytesMax = 123;  // RFC 6455, section 5.5, less the code
  if (code < 3000 || code > 4999 || reason.empty() || reason.size() > kReasonBytesMax) {
    done(fail(ErrorCode::kInvalidArgument,
              "a close needs a code from 3000 to 4999 and a reason of 1 to 123 bytes"));
    return;
  }
  act(
      core_, std::move(who),
      [code, reason = std::move(reason)](session::Session& session) {
        session.disconnect(code, reason);
        return true;
      },
      std::move(done));
}

}  // namespace trunkline
