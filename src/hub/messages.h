// SPDX-License-Identifier: Apache-2.0
//
// Everything that one shard's hub may tell another. The mailbox keeps the order between any two
// shards; the hub relies on it: an answer finds the updates that were sent before it applied.
#pragma once

#include <trunkline/error.h>
#include <trunkline/position.h>

#include "core/time.h"
#include "hub/publication.h"
#include "replay/log.h"
#include "replay/window.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace trunkline::hub {

using ShardId = std::uint32_t;

// The continuation of a request: travels with it, untouched, and is called once on the shard that
// asked. It must not own anything that may not be destroyed on another shard.
template <class T>
using Done = std::move_only_function<void(Result<T>)>;

// How a channel behaves; the asking shard knows the rules and says it with every request.
struct ChannelSettings {
  replay::Retention history;  // count_max 0: the channel has no history
  Duration meta_ttl{0};       // how long an unused channel's position is remembered
  bool presence = false;
  bool join_leave = false;

  [[nodiscard]] bool has_history() const { return history.count_max > 0; }
};

// What a subscription begins with.
struct Attached {
  Position top;          // of the log, at the moment of attaching
  Offset history_first;  // the oldest publication that may be resumed from
};

enum class EventKind : std::uint8_t { kJoin, kLeave, kUnloggedPublication };
using SharedFrame = std::shared_ptr<const std::string>;

struct HistoryQuery {
  std::optional<Position> since;  // exclusive; an empty epoch matches any
  bool reverse = false;
  std::size_t limit = 0;  // publications; 0: the position only
};

struct History {
  std::string publications;  // the publications' JSON, joined with commas
  Position top;
};

struct PresenceStats {
  std::size_t clients = 0;
  std::size_t users = 0;
};

using Presence = std::vector<ClientInfo>;
using ChannelCounts = std::vector<std::pair<std::string, std::size_t>>;  // channel, subscribers

// The end of a window, for a shard that has none of the channel yet or is to get on.
struct Extension {
  Offset first;  // what the home's log begins with now
  Offset begin;  // the offset of records[0]; head().next() when there are none
  std::vector<std::pair<replay::Record, replay::SegmentRef>> records;
};

// — to the channel's home shard —

// A publication to be ordered. The answer is its position; for one that is not logged, the top.
struct PublishRequest {
  std::string channel;
  ChannelSettings settings;
  NewPublication publication;
  bool logged = true;
  std::string idempotency_key;  // empty: none
  ShardId origin = 0;
  Done<Position> done;
};

// A subscriber begins. Answered by AttachAnswer.
struct AttachRequest {
  std::string channel;
  ChannelSettings settings;
  ClientInfo member;
  ShardId origin = 0;
  Done<Attached> done;
};

// A subscriber that was attached has ended.
struct DetachNotice {
  std::string channel;
  std::string client;
  ShardId origin = 0;
};

// One subscriber at least has taken everything up to `served`. Answers ProgressRequest.
struct ProgressNotice {
  std::string channel;
  Offset served;
  ShardId origin = 0;
};

struct HistoryRequest {
  std::string channel;
  ChannelSettings settings;
  HistoryQuery query;
  ShardId origin = 0;
  Done<History> done;
};

struct HistoryRemoveRequest {
  std::string channel;
  ChannelSettings settings;
  ShardId origin = 0;
  Done<Position> done;
};

struct PresenceRequest {
  std::string channel;
  ShardId origin = 0;
  Done<Presence> done;
};

struct PresenceStatsRequest {
  std::string channel;
  ShardId origin = 0;
  Done<PresenceStats> done;
};

// To every shard: the channels whose home it is and that have subscribers.
struct ChannelsRequest {
  ShardId origin = 0;
  Done<ChannelCounts> done;
};

// — from the channel's home shard —

// New publications of a turn, to each other shard with subscribers. One object for all of them.
struct FeedUpdate {
  std::string channel;
  std::shared_ptr<const Extension> extension;
};

// Asks a shard with subscribers to say when one of them has taken everything up to `through`.
struct ProgressRequest {
  std::string channel;
  Offset through;
};

// Something that is not in the log, to each shard with subscribers.
struct FeedEvent {
  std::string channel;
  EventKind kind = EventKind::kJoin;
  SharedFrame frame;
};

// The subscriber is counted and the shard gets updates from now on.
struct AttachAnswer {
  std::string channel;
  Attached attached;
  std::shared_ptr<const Extension> window;  // set when the shard had none of the channel
  Done<Attached> done;
};

// Any other request is finished: runs the continuation on the shard that asked.
struct Answer {
  std::move_only_function<void()> run;
};

using Message =
    std::variant<PublishRequest, AttachRequest, DetachNotice, HistoryRequest, HistoryRemoveRequest,
                 PresenceRequest, PresenceStatsRequest, ChannelsRequest, ProgressNotice, FeedUpdate,
                 ProgressRequest, FeedEvent, AttachAnswer, Answer>;

// The only door between shards. Messages between any two shards arrive in order, never inside the
// call. Thread: the sending shard.
class Mail {
 public:
  Mail() = default;
  Mail(const Mail&) = delete;
  Mail& operator=(const Mail&) = delete;
  virtual ~Mail() = default;

  virtual void post(ShardId to, Message message) = 0;
};

}  // namespace trunkline::hub
