// SPDX-License-Identifier: Apache-2.0
//
// The hub, from inside the process: publish, subscribe, and give subscribers the state that the
// publications change. A Hub belongs to a Server (server.h), which may run without listening.
//
//   hub.on_snapshot("doc:", [&](const SnapshotRequest& request, SnapshotDone done) {
//     done(Snapshot{document.json(), document.position()});
//   });
//   hub.publish("doc:1", R"({"add":1})", {}, [](Result<Position> position) { … });
#pragma once

#include <trunkline/error.h>
#include <trunkline/position.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

namespace server {
class Core;
}  // namespace server

// The state of what a channel's publications change.
struct Snapshot {
  std::string data;  // JSON
  // The last publication that the state contains; publish() tells positions. Without it the state
  // is taken to be that of SnapshotRequest::attached, which is right only when it cannot have
  // changed since.
  std::optional<Position> position;
};

struct SnapshotRequest {
  std::string channel;
  // The newest publication when the subscriber was attached. Everything after it will be delivered,
  // however long the snapshot takes: a state that is at least this new is wanted.
  Position attached;
};

// Ends a snapshot, with the state or with an error (the subscriber is then told to try again).
// To be called once, from any thread, from inside the function or at any later time; destroying it
// uncalled counts as an error.
using SnapshotDone = std::move_only_function<void(Result<Snapshot>)>;

// Runs on a small pool of the server's own threads: it may block, which delays only other
// snapshots. An exception counts as an error.
using SnapshotFunction = std::function<void(const SnapshotRequest&, SnapshotDone)>;

struct PublishOptions {
  // A publisher that repeats a request with the same key within five minutes gets the first
  // position, and nothing is published twice. Empty: none.
  std::string idempotency_key;
  std::vector<std::pair<std::string, std::string>> tags;
};

// Called once, on a thread of the server's: short work only. Errors: kMalformed for data that is
// not JSON, kUnknownChannel, kClosed when the server has stopped.
using PublishDone = std::move_only_function<void(Result<Position>)>;

// What a subscription began with.
struct SubscriptionStart {
  Position position;       // the state's, or where publications go on
  bool recovered = false;  // `since` was given and nothing is missing
  std::string_view data;   // of the snapshot; empty without one
};

struct HubPublication {
  Offset offset;
  // A JSON object with `data`, and with `info`, `offset` and `tags` where they apply.
  std::string_view json;
};

// A subscriber's callbacks; all on one thread of the server's, in this order: on_start, then
// publications without gap or repeat, then nothing or on_end. Short work only; views are valid
// during the call.
struct HubSubscriber {
  std::function<void(const SubscriptionStart&)> on_start;
  std::function<void(const HubPublication&)> on_publication;
  // It got no further: kUnrecoverablePosition when it was too slow and the log has moved on, the
  // snapshot's error, kUnknownChannel, kClosed when the server stops. Terminal.
  std::function<void(const Error&)> on_end;
};

struct HubSubscribeOptions {
  std::optional<Position> since;  // what was seen last
  SnapshotFunction snapshot;      // none: the one that on_snapshot registered, if any
};

// Ends the subscription when it is destroyed: no callback runs afterwards, and one that is running
// on another thread is waited for. May be destroyed inside a callback.
class HubSubscription {
 public:
  struct State;

  HubSubscription() = default;

  explicit HubSubscription(std::shared_ptr<State> state) : state_(std::move(state)) {}

  HubSubscription(HubSubscription&&) noexcept = default;
  HubSubscription& operator=(HubSubscription&& other) noexcept;
  HubSubscription(const HubSubscription&) = delete;
  HubSubscription& operator=(const HubSubscription&) = delete;

  ~HubSubscription() { end(); }

  void end();

 private:
  std::shared_ptr<State> state_;
};

// Which connections a call means, of those that stand when it is carried out: all of a user's, or
// the one with this client id (Client's on_connected and a publication's info tell it). Whoever is
// anonymous is named by the client id alone.
struct UserConnections {
  std::string user{};
  std::string client{};  // empty: all of the user's
};

struct SubscribeUserOptions {
  std::string info{};  // JSON that presence, joins and leaves show of the subscriber; empty: none
  std::string data{};  // JSON for the client, instead of a snapshot; empty: none
  // Begin behind this position, if the history still holds what follows it.
  std::optional<Position> since{};
  // The connection is closed then (3006), after client.expired_sub_close_delay.
  std::optional<std::chrono::system_clock::time_point> expire_at{};
};

// Called once, on a thread of the server's, when all shards have been through, with the number of
// connections that the call had an effect on. Errors: kInvalidArgument, and those that the methods
// name; kClosed when the server has stopped.
using ConnectionsDone = std::move_only_function<void(Result<std::size_t>)>;

// Thread: any, for every method.
class Hub {
 public:
  explicit Hub(server::Core& core) : core_(core) {}

  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub() = default;

  // Publishes JSON to a channel. Publications of one thread to one channel keep their order.
  void publish(
      std::string channel, std::string json, PublishOptions options = {},
      PublishDone done = [](const Result<Position>&) {});

  // Every new subscriber of a channel whose name begins with `prefix` (the longest that fits) gets
  // a snapshot first: clients in the `data` of their subscribe result, HubSubscribers in on_start.
  // Before Server::start().
  void on_snapshot(std::string prefix, SnapshotFunction function);

  // Subscribes this process.
  [[nodiscard]] HubSubscription subscribe(std::string channel, HubSubscribeOptions options,
                                          HubSubscriber subscriber);

  // Server-side subscriptions and ends of connections. Calls of one thread keep their order.

  // Subscribes clients that did not ask. Each is told by a push where the subscription stands, and
  // gets everything that is published after that position. Whether it is recoverable and hears
  // joins is as the channel's `force_…` options say. A success does not mean that it has begun, nor
  // that it lasts: one who has the channel already or has client.channel_limit of them is passed
  // over, and a reconnect begins without it. Errors: kUnknownChannel; kMalformed for info or data
  // that is not JSON.
  void subscribe_user(
      UserConnections who, std::string channel, SubscribeUserOptions options = {},
      ConnectionsDone done = [](const Result<std::size_t>&) {});

  // Ends subscriptions to the channel, also those that clients asked for (push, code 2000: they do
  // not come back by themselves).
  void unsubscribe_user(
      UserConnections who, std::string channel,
      ConnectionsDone done = [](const Result<std::size_t>&) {});

  // Tells the clients something that belongs to no channel, as JSON text: SDKs have it as the event
  // `message`. Nothing keeps it for who is away; what must not be missed is a channel's, the user's
  // own for instance (client.subscribe_to_user_personal_channel). One that has too much to read
  // already is passed over, and not counted. Errors: kMalformed for what is not JSON.
  void send_user(
      UserConnections who, std::string json,
      ConnectionsDone done = [](const Result<std::size_t>&) {});

  // Closes connections with a code from 3000 to 4999 (3000–3499 and 4000–4499: clients reconnect)
  // and a reason of 1 to 123 bytes of UTF-8. Errors: kInvalidArgument for others.
  void disconnect_user(
      UserConnections who, std::uint16_t code, std::string reason,
      ConnectionsDone done = [](const Result<std::size_t>&) {});

 private:
  server::Core& core_;
};

}  // namespace trunkline
