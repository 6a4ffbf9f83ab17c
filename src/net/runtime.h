// SPDX-License-Identifier: Apache-2.0
//
// All shards of a server with their mailboxes, and the door that spreads connections over them.
#pragma once

#include <trunkline/error.h>

#include "net/door.h"
#include "net/mailbox.h"
#include "net/shard.h"

#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::net {

struct RuntimeOptions {
  std::string address = "127.0.0.1";  // IPv4 or IPv6
  std::uint16_t port = 8000;          // 0: any free one
  bool listen = true;                 // false: a hub without a door
  unsigned shards = 0;                // 0: one a core
  ShardOptions shard;
  LimitOptions limits;
  // Runs on each shard before its first turn.
  std::function<void(Shard&)> prepare = [](Shard&) {};
};

// Thread: any one at a time, but for post().
class Runtime {
 public:
  // Where connections come in.
  static constexpr hub::ShardId kDoorShard = 0;

  // The authenticator must outlive the runtime.
  Runtime(RuntimeOptions options, const session::Authenticator& authenticator);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  // Stops without grace when stop() was not called.
  ~Runtime();

  // Binds the address and starts the threads. Errors: kSystem with address, port and reason.
  [[nodiscard]] Result<void> start();

  // The port that is listened on, after start().
  [[nodiscard]] std::uint16_t port() const { return port_; }

  // Stops accepting, tells all clients (3001), waits until they are gone or the deadline has
  // passed, and joins the threads.
  void stop(Duration deadline);

  // For connections that come from now on; none: they are plain. Thread: any.
  void set_tls(const std::shared_ptr<const TlsContext>& context);

  // Runs a task on a shard. False once the shard has ended: the task is dropped. Thread: any.
  bool post(hub::ShardId shard, Task task);

  // Who came in, and who did not. Thread: kDoorShard.
  [[nodiscard]] AdmissionStats admission() const {
    return door_ ? door_->stats() : AdmissionStats{};
  }

  [[nodiscard]] hub::ShardId shards() const { return static_cast<hub::ShardId>(mailboxes_.size()); }

 private:
  [[nodiscard]] RuntimeOptions prepared(RuntimeOptions options);
  [[nodiscard]] std::unique_ptr<Door> make_door();

  std::vector<std::unique_ptr<Mailbox>> mailboxes_;
  std::unique_ptr<MemoryBudget> memory_;
  const RuntimeOptions options_;
  const Ticket::GiveBack give_back_;  // before the shards, whose connections use it to the last
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Door> door_;  // lives on kDoorShard
  std::latch drained_;          // by each shard
  std::uint16_t port_ = 0;
  bool started_ = false;
};

}  // namespace trunkline::net
