// SPDX-License-Identifier: Apache-2.0
//
// A shard as src/net/shard.cpp has it, without a thread and without sockets: the same turn in the
// same order, the same lines of those who write, the same end.
#pragma once

#include "core/intrusive_list.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "outbox/outbox.h"
#include "replay/memory_engine.h"
#include "session/drain_schedule.h"
#include "session/json_codec.h"
#include "session/session.h"
#include "sim/checker.h"
#include "sim/connection.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {

class Server;

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
  bool asks_door = false;  // for each handshake
  // What those behind get of a turn together, and what a connection gets of one gathering.
  std::size_t catch_up_bytes_per_turn = 2UL * 1024 * 1024;
  std::size_t run_bytes = outbox::Outbox::kRunBytesMax;
  hub::Pacing pacing;
  std::size_t drain_per_second = 0;
};

// The rooms below net/, of one shard. They are freed when the server has ended, while the shard's
// shell stays for what arrives too late.
struct Rooms {
  Rooms(Shard& shard, hub::ShardId self, hub::ShardId shards);

  Random random;
  TimerWheel timers;
  replay::MemoryEngine memory;
  RecordingEngine engine;
  session::JsonCodec codec;
  SameFrames compressor;
  hub::HubShard hub;
  session::Environment environment;
};

// Thread: the simulation's.
class Shard final : public hub::Mail {
 public:
  using Task = std::move_only_function<void(Shard&)>;

  // All references must outlive the shard.
  Shard(Server& server, Schedule& schedule, Checker& checker, hub::ShardId self,
        hub::ShardId shards, const ShardOptions& options,
        const session::Authenticator& authenticator);
  ~Shard() override;

  // What happens before the next turn; nothing once the shard has ended.
  void receive(hub::Message message);
  void run(Task task);
  // A connection from this wire; it ends at once when the shard is going down.
  void adopt(Wire& wire);

  // A call of the API, whose connection stays until it was answered. 0: turned away.
  [[nodiscard]] std::uint64_t begin_call();
  void end_call(std::uint64_t call);

  // As net::Shard has them.
  void drain(Duration deadline, std::move_only_function<void()> drained);

  void finish() { finishing_ = true; }

  // After the end of all shards.
  void free_rooms();

  [[nodiscard]] bool is_draining() const { return draining_; }

  [[nodiscard]] bool has_ended() const { return ended_; }

  [[nodiscard]] hub::HubShard& hub() { return rooms_->hub; }

  [[nodiscard]] session::Environment& environment() { return rooms_->environment; }

  [[nodiscard]] Connection* find(std::uint64_t connection);

  // Nothing of clients may be here.
  void check_left_behind();
  // Nor anything else, when all of it has become too old.
  void check_nothing_left();

  int snapshots_asked = 0;  // and not answered

  void post(hub::ShardId to, hub::Message message) override;

 private:
  friend class Connection;
  friend struct Rooms;

  void want_turn(Duration delay);
  void turn();
  void end_turn();
  void keep_draining();
  void end();
  void reap();
  void ask_door(std::uint64_t connection);
  // To the end of the line of those behind.
  void catch_up(Connection& connection);
  void flush_connections();
  void flush_behind();
  std::size_t flush_batch(IntrusiveList<Connection, FlushHook>& line, std::size_t bytes_max);
  void check_flushed();
  void arm_wakeup();

  Server& server_;
  Schedule& schedule_;
  Checker& checker_;
  const hub::ShardId self_;
  const ShardOptions& options_;
  const session::Authenticator& authenticator_;
  std::unique_ptr<Rooms> rooms_;
  std::vector<Task> tasks_;
  std::vector<std::pair<hub::ShardId, hub::Message>> outgoing_;
  std::vector<outbox::Plan> plans_;
  std::vector<Connection*> batch_;
  IntrusiveList<Connection, FlushHook> to_flush_;
  IntrusiveList<Connection, FlushHook> behind_;
  IntrusiveList<Connection, DeadHook> dead_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t last_connection_ = 0;
  std::set<std::uint64_t> calls_;
  std::uint64_t last_call_ = 0;
  bool draining_ = false;
  bool finishing_ = false;
  bool ended_ = false;
  Duration drain_time_{};
  TimePoint drain_deadline_ = TimePoint::max();
  std::optional<session::DrainSchedule> drain_schedule_;
  std::move_only_function<void()> drained_;
  TimePoint turn_at_ = TimePoint::max();
};

}  // namespace trunkline::sim
