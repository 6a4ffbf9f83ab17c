// SPDX-License-Identifier: Apache-2.0
//
// One shard: a thread, an event loop, and everything that lives on it. Nothing here is locked but
// the mailbox. Work is done in turns: take what has happened (sockets, mail, timers), let the hub
// announce, write every connection that has something in one go, settle, post the mail.
#pragma once

#include "core/random.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "net/connection.h"
#include "net/door.h"
#include "net/frame_compressor.h"
#include "net/http.h"
#include "net/mailbox.h"
#include "net/memory_budget.h"
#include "net/sender.h"
#include "net/user_counts.h"
#include "outbox/outbox.h"
#include "replay/memory_engine.h"
#include "session/drain_schedule.h"
#include "session/json_codec.h"
#include "session/session.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

namespace trunkline::net {

// The same for all shards; must outlive them.
struct ShardOptions {
  session::Options session;
  outbox::OutboxOptions outbox;
  replay::MemoryEngineOptions engine;  // for each shard
  std::size_t message_bytes_max = 64UL * 1024;
  std::size_t request_body_bytes_max = 8UL * 1024 * 1024;
  // permessage-deflate for clients that offer it.
  bool compression = false;
  ws::CompressionSettings compression_settings;
  Duration request_timeout = std::chrono::seconds(10);
  Duration keep_alive_timeout = std::chrono::seconds(75);
  Duration close_timeout = std::chrono::seconds(5);
  hub::Pacing pacing;
  bool use_io_uring = true;  // where the kernel grants one
  // Clients that a stop disconnects in a second, on all shards together; 0: all at once.
  std::size_t drain_per_second = 0;
  // What all connections that catch up get of one turn together: about a millisecond of sending.
  std::size_t catch_up_bytes_per_turn = 2UL * 1024 * 1024;
  HttpHandler http;
  // Asks whether a connection may become a WebSocket; Shard::answer_handshake() answers. None: it
  // may. Called on the connection's shard.
  std::function<void(const HandshakeAsk&)> ask_handshake;
  // Of all shards; nullptr: nobody counts. Must outlive them.
  MemoryBudget* memory = nullptr;
  std::function<void(std::string_view)> log = [](std::string_view) {};
};

struct ConnectionStats {
  std::uint64_t opened = 0;
  std::uint64_t refused_handshakes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t stalls = 0;  // times that a socket took no more
  EndingCounts endings{};    // of WebSockets
  outbox::OutboxStats outbox;
  std::uint64_t blocked = 0;  // now: waiting for the socket to take more
};

// What operators see, gathered on the shard.
struct ShardStats {
  hub::HubStats hub;
  session::SessionStats session;
  ConnectionStats connection;
  std::uint64_t websockets = 0;
  std::uint64_t users = 0;
  std::uint64_t outbox_bytes = 0;
  std::uint64_t cursors_behind = 0;
  MemoryUse memory;                         // by our own account
  std::optional<AdmissionStats> admission;  // of the door, by one shard only
};

class Shard final : public hub::Mail {
 public:
  using Drained = std::move_only_function<void()>;

  // `peers`: the mailboxes of all shards, this one's own among them. All references must outlive
  // the shard.
  Shard(hub::ShardId self, const std::vector<std::unique_ptr<Mailbox>>& mailboxes,
        const ShardOptions& options, const session::Authenticator& authenticator,
        std::uint64_t seed);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() override;

  // Starts the thread. Thread: any, once.
  void start();
  // Waits for the thread's end. Thread: any other, once.
  void join();

  // Everything below: owning shard.

  // Takes over a connected, non-blocking socket, and its place.
  void adopt(int descriptor, Ticket ticket);
  // The door's answer to a connection; false when that has gone.
  bool answer_handshake(ConnectionId id, std::optional<Refusal> refused);
  // For connections that come from now on; none: they are plain.
  void set_tls(std::shared_ptr<const TlsContext> context);
  // Ends all connections (3001), clients spread over a part of the time that there is, by force
  // once the deadline has passed, and calls `drained` when they are gone. The shard goes on:
  // connections of others may still ask it for something.
  void drain(Duration deadline, Drained drained);
  // Ends the thread when no connection is left. After drain().
  void finish();

  [[nodiscard]] hub::HubShard& hub() { return hub_; }

  [[nodiscard]] session::Environment& environment() { return environment_; }

  [[nodiscard]] UserCounts& users() { return users_; }

  [[nodiscard]] Mailbox& mailbox(hub::ShardId shard) { return *mailboxes_[shard]; }

  [[nodiscard]] boost::asio::io_context& io() { return io_; }

  [[nodiscard]] hub::ShardId self() const { return self_; }

  // Reads the clock. For what comes by other ways than the sockets of clients, mail and timers,
  // before it touches sessions.
  void touch();

  [[nodiscard]] ShardStats stats() const;
  // Continues `id`'s HTTP exchange; nothing when the connection has gone.
  void respond(ConnectionId id, HttpResponse response);

  // hub::Mail
  void post(hub::ShardId to, hub::Message message) override;

 private:
  friend class Connection;

  void run();
  void keep_draining();
  void wait_for_mail();
  void take_mail();
  void end_turn();
  void open_sender();
  void flush_connections();
  void flush_behind();
  // Writes for the first of the line, until a batch is full or `bytes_max` are planned. Returns
  // what was planned, at least one for each connection; 0 when nobody is in line.
  std::size_t flush_batch(IntrusiveList<Connection, FlushHook>& line, std::size_t bytes_max);
  void send_batch();
  void wrote(Connection& connection, const outbox::Plan& plan, ssize_t result);
  // The outbox may have changed. (shard_memory.cpp)
  void account(Connection& connection);
  [[nodiscard]] MemoryUse memory_use() const;
  // End of turn: says what is held here, and evicts logs when all shards together hold too much.
  void keep_within_memory();
  void reap();
  void arm_wakeup();

  const hub::ShardId self_;
  const std::vector<std::unique_ptr<Mailbox>>& mailboxes_;
  const ShardOptions& options_;

  boost::asio::io_context io_;
  boost::asio::posix::stream_descriptor mail_ready_;
  boost::asio::steady_timer wakeup_;
  std::optional<TimePoint> wakeup_at_;

  Random random_;
  TimerWheel timers_;
  replay::MemoryEngine engine_;
  session::JsonCodec codec_;
  ws::DeflateScratch scratch_;
  FrameCompressor compressor_;
  hub::HubShard hub_;
  UserCounts users_;
  session::Environment environment_;

  std::vector<std::vector<net::Mail>> outgoing_;  // a turn's mail, by shard
  std::vector<net::Mail> incoming_;
  std::vector<char> tls_buffer_;  // what was decrypted; empty without TLS
  std::shared_ptr<const TlsContext> tls_;
  std::vector<char> read_buffer_;    // shared by all connections, with padding behind
  std::unique_ptr<Sender> sender_;   // made by the thread
  std::vector<outbox::Plan> plans_;  // of the batch that is being written, as the next two
  std::vector<Connection*> batch_;
  std::vector<Send> sends_;
  std::vector<std::size_t> planned_;  // for each send its place in the batch
  IntrusiveList<Connection, FlushHook> to_flush_;
  IntrusiveList<Connection, FlushHook> behind_;  // owed more than one gathering could take
  IntrusiveList<Connection, DeadHook> dead_;
  ConnectionId last_connection_ = 0;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
  ConnectionStats stats_;
  std::size_t outbox_bytes_ = 0;  // accounted
  bool draining_ = false;
  bool finishing_ = false;
  TimePoint drain_deadline_;
  std::optional<session::DrainSchedule> drain_schedule_;
  Drained drained_;
  std::thread thread_;
};

}  // namespace trunkline::net
