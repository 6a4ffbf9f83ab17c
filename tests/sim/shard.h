// SPDX-License-Identifier: Apache-2.0
//
// A shard and its connections as net/ has them, without a thread and without sockets: the same turn
// in the same order.
#pragma once

#include "core/intrusive_list.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "outbox/outbox.h"
#include "replay/memory_engine.h"
#include "session/json_codec.h"
#include "session/session.h"
#include "sim/checker.h"
#include "sim/pipe.h"
#include "ws/frame_reader.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::sim {

class Shard;
struct FlushHook;
struct DeadHook;

// Both directions of a connection; it outlives both ends.
struct Wire {
  Wire(Schedule& schedule, PipeShape up_shape, PipeShape down_shape)
      : up(schedule, up_shape), down(schedule, down_shape) {}

  Pipe up;    // client to server
  Pipe down;  // server to client
  Shard* shard = nullptr;
  std::uint64_t connection = 0;
};

// The server's end. Thread: the simulation's.
class Connection final : public session::Link,
                         public ws::MessageHandler,
                         public Timer,
                         public ListHook<FlushHook>,
                         public ListHook<DeadHook> {
 public:
  Connection(Shard& shard, std::uint64_t id, Wire& wire);
  ~Connection() override;

  void received(std::string_view bytes);
  void drop();
  void shut_down();

  [[nodiscard]] session::Session* session() { return session_ ? &*session_ : nullptr; }

  [[nodiscard]] std::uint64_t id() const { return id_; }

  [[nodiscard]] bool is_dropped() const { return dropped_; }

  [[nodiscard]] bool is_closing() const { return closing_; }

  outbox::Outbox& outbox() override { return outbox_; }

  void want_flush() override;

  [[nodiscard]] bool takes_compressed_frames() const override { return takes_compressed_; }

  void close(std::uint16_t code, std::string_view reason) override;
  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;
  void on_timer(TimePoint now) override;

 private:
  friend class Shard;

  void read();
  void flush();
  void flushed();
  void arm_deadline();

  Shard& shard_;
  const std::uint64_t id_;
  Wire& wire_;
  outbox::Outbox outbox_;
  ws::FrameReader reader_;
  // By an even number, so that no draw of the seed depends on it.
  const bool takes_compressed_ = id_ % 2 == 0;
  std::unique_ptr<session::Session> session_;
  std::string input_;
  bool waiting_to_write_ = false;
  bool dropped_ = false;
  bool closing_ = false;
  bool peer_closed_ = false;
  std::uint64_t due_at_close_ = 0;  // bytes that were queued before the Close frame
  std::uint64_t written_since_close_ = 0;
  TimePoint deadline_ = TimePoint::max();
};

// Frames that are as long as the plain ones, and the same: what is simulated is who gets which of
// the two, and where it goes on.
class SameFrames final : public hub::FrameCompressor {
 public:
  [[nodiscard]] std::string compress(std::string_view frame) override { return std::string(frame); }
};

// What all shards of a world share.
struct ShardOptions {
  session::Options session;
  outbox::OutboxOptions outbox;
  replay::MemoryEngineOptions engine;
  hub::Pacing pacing;
};

// Thread: the simulation's.
class Shard final : public hub::Mail {
 public:
  using Post = std::function<void(hub::ShardId from, hub::ShardId to, hub::Message)>;

  Shard(Schedule& schedule, Checker& checker, hub::ShardId self, hub::ShardId shards,
        const ShardOptions& options, const session::Authenticator& authenticator, Post post);
  ~Shard() override;

  // What happens before the next turn.
  void receive(hub::Message message);
  void run(std::move_only_function<void(Shard&)> task);
  // A connection from this wire.
  void adopt(Wire& wire);

  [[nodiscard]] hub::HubShard& hub() { return hub_; }

  [[nodiscard]] session::Environment& environment() { return environment_; }

  [[nodiscard]] Connection* find(std::uint64_t connection);

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

  void shut_down();

  void post(hub::ShardId to, hub::Message message) override;

 private:
  friend class Connection;

  void want_turn(Duration delay);
  void turn();
  void flush_connections();
  void arm_wakeup();

  Schedule& schedule_;
  Checker& checker_;
  const hub::ShardId self_;
  const ShardOptions& options_;
  Post post_;
  Random random_;
  TimerWheel timers_;
  replay::MemoryEngine memory_;
  RecordingEngine engine_;
  session::JsonCodec codec_;
  SameFrames compressor_;
  hub::HubShard hub_;
  session::Environment environment_;
  std::vector<std::move_only_function<void(Shard&)>> tasks_;
  std::vector<std::pair<hub::ShardId, hub::Message>> outgoing_;
  outbox::Plan plan_;
  IntrusiveList<Connection, FlushHook> to_flush_;
  IntrusiveList<Connection, DeadHook> dead_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_connection_ = 0;
  TimePoint turn_at_ = TimePoint::max();
};

}  // namespace trunkline::sim
