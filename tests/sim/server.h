// SPDX-License-Identifier: Apache-2.0
//
// A server as src/net/runtime.cpp makes one of its shards: the door, the mail, and the stop.
//
//   stop      the door closes, each shard drains; control mail comes to each at its own time
//   drained   all shards have: until then each goes on answering the others
//   finish    each shard ends when it is told; then the rooms are freed
#pragma once

#include "hub/messages.h"
#include "sim/shard.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace trunkline::sim {

// It stays as a shell when it has ended, since what it asked for may come later. Thread: the
// simulation's.
class Server {
 public:
  // The longest that mail is on its way.
  static constexpr Duration kMailLatest = std::chrono::seconds(2);

  // All references must outlive the server; `faults`: mail may be late.
  Server(Schedule& schedule, Checker& checker, const ShardOptions& options,
         const session::Authenticator& authenticator, hub::ShardId shards, const bool& faults);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] std::vector<std::unique_ptr<Shard>>& shards() { return shards_; }

  [[nodiscard]] Shard& any_shard();

  // A client's connection: to some shard, or turned away.
  void connect(Wire& wire);

  // As Runtime::stop, which waits for the end: here `ended` is called. With `hold` the shards stay
  // when they have drained, until finish().
  void stop(Duration deadline, bool hold, std::move_only_function<void()> ended);
  void finish();

  [[nodiscard]] bool is_stopping() const { return stopping_; }

  [[nodiscard]] bool is_drained() const { return drained_ == shards_.size(); }

  [[nodiscard]] bool has_ended() const { return ended_ == shards_.size(); }

  // For shards.
  void post(hub::ShardId from, hub::ShardId to, hub::Message message);
  std::vector<hub::Message> take_mail(hub::ShardId to);
  void ask_door(hub::ShardId from, std::uint64_t connection);
  void ended();

 private:
  // From one shard to another, in order.
  struct Post {
    std::deque<hub::Message> on_the_way;
    TimePoint last_arrival;
  };

  [[nodiscard]] Duration lateness();
  // Something that is not the hub's, to a shard by the mail.
  void send(hub::ShardId to, Shard::Task task);
  void drained(Shard& shard);
  void let_end();

  Schedule& schedule_;
  const bool& faults_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Post> posts_;  // from × to
  bool door_is_open_ = true;
  bool stopping_ = false;
  bool hold_ = false;
  std::size_t drained_ = 0;
  std::size_t ended_ = 0;
  std::move_only_function<void()> on_ended_;
};

}  // namespace trunkline::sim
