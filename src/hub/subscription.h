// SPDX-License-Identifier: Apache-2.0
//
// A subscription is a cursor into its channel's log: the offset that it needs next. It owns no
// queue of messages. Attaching, resuming after a reconnect and catching up after a stall are the
// same: read from `next` until the head, then live.
//
// The invariant: what a subscription delivers is next, next+1, next+2, …, each exactly once, in
// order; when the log no longer holds `next`, the sink is told, and nothing more is delivered.
#pragma once

#include <trunkline/position.h>

#include "hub/messages.h"
#include "outbox/source.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::hub {

class Feed;
class Feeds;
class Subscription;

// Who gets what a subscription delivers: a client's session, or a subscriber inside the process.
class Sink {
 public:
  // `touched`: the memory that on_ready() touches besides the sink's own, fetched ahead where many
  // sinks are told in a row; none: nothing.
  explicit Sink(const void* touched = nullptr) : touched_(touched) {}

  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  // The subscription has publications that were not taken yet (peek and taken, or read). Called at
  // the end of a turn, and from resume_at(). Neither this nor on_event may end or begin a
  // subscription.
  virtual void on_ready(Subscription& subscription) = 0;
  // A join, a leave (to those who asked for them) or a publication that is not in the log.
  virtual void on_event(Subscription& subscription, EventKind kind, const SharedFrame& frame) = 0;
  // The log no longer holds what comes next; called between turns. The subscription delivers
  // nothing any more; the sink ends it or calls resume_at().
  virtual void on_lost(Subscription& subscription) = 0;

 private:
  friend class Feeds;

  const void* touched_;
};

struct LostHook;

// Ending a subscription is destroying it. Thread: owning shard.
class Subscription final : public outbox::Source, public ListHook<LostHook> {
 public:
  // Made by HubShard::attach and given to the sink pinned: nothing is delivered before
  // resume_at(). The sink must outlive it.
  Subscription(Feeds& feeds, Feed& feed, Sink& sink, std::string client);
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  ~Subscription() override;

  // Delivers from `next` on: what the log holds at once (at the end of this turn), later
  // publications as they come. `next` may be ahead of the log.
  void resume_at(Offset next);

  // Whether joins and leaves are wanted; off at first.
  void want_join_leave(bool on) { wants_join_leave_ = on; }

  // Publications come as the compressed frames that all such subscribers share (hub's
  // FrameCompressor), older ones plain. For a connection that takes both. Once, before resume_at().
  void want_compressed();

  [[nodiscard]] const std::string& channel() const;
  [[nodiscard]] const std::string& epoch() const;

  [[nodiscard]] Offset next() const { return next_; }

  // What this shard can read of the channel.
  [[nodiscard]] const replay::Window& window() const;

  // outbox::Source: wire frames, for a connection.
  std::string_view peek(std::size_t bytes_max) override;
  Taken taken(std::size_t bytes) override;

  // One publication after another, for a subscriber inside the process: the body (a publication
  // as JSON), empty when there is nothing more for now.
  std::string_view read();

 private:
  friend class Feed;
  friend class Feeds;

  bool check_lost();
  void note_served();

  Feeds& feeds_;
  Feed& feed_;
  Sink& sink_;
  Offset next_;
  std::uint32_t index_ = 0;  // in the feed's list
  bool live_ = false;        // resume_at() was called and nothing was lost since
  bool wants_join_leave_ = false;
  bool wants_compressed_ = false;
  bool peeked_compressed_ = false;  // what the last peek() gave
  std::string client_;
};

}  // namespace trunkline::hub
