// SPDX-License-Identifier: Apache-2.0
#include "sim/server.h"

#include "core/probe.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr hub::ShardId kDoorShard = 0;
constexpr Duration kMailUsual = 2ms;
constexpr Duration kApart = 80ms;

}  // namespace

Server::Server(Schedule& schedule, Checker& checker, const ShardOptions& options,
               const session::Authenticator& authenticator, hub::ShardId shards, const bool& faults)
    : schedule_(schedule), faults_(faults), posts_(std::size_t{shards} * shards) {
  for (hub::ShardId id = 0; id < shards; ++id) {
    shards_.push_back(
        std::make_unique<Shard>(*this, schedule, checker, id, shards, options, authenticator));
  }
}

Server::~Server() = default;

Shard& Server::any_shard() {
  return *shards_[schedule_.random.below(shards_.size())];
}

void Server::connect(Wire& wire) {
  if (!door_is_open_) {
    TRUNKLINE_SOMETIMES("connection after the stop");
    wire.down.finish();
    return;
  }
  any_shard().adopt(wire);
}

// — mail —

// Mail is late, and in order between any two shards.
Duration Server::lateness() {
  const bool late = faults_ && schedule_.random.one_in(100);
  return schedule_.between(0ms, late ? kMailLatest : kMailUsual);
}

void Server::post(hub::ShardId from, hub::ShardId to, hub::Message message) {
  if (shards_[to]->has_ended()) {
    TRUNKLINE_SOMETIMES("mail for a shard that has ended");
    return;
  }
  Post& post = posts_[from * shards_.size() + to];
  post.on_the_way.push_back(std::move(message));
  post.last_arrival = std::max(post.last_arrival, schedule_.now() + lateness());
  schedule_.at(post.last_arrival, [this, &post, to] {
    // A shard that ends takes all of it at once.
    if (!post.on_the_way.empty()) {
      hub::Message arrived = std::move(post.on_the_way.front());
      post.on_the_way.pop_front();
      shards_[to]->receive(std::move(arrived));
    }
  });
}

std::vector<hub::Message> Server::take_mail(hub::ShardId to) {
  std::vector<hub::Message> all;
  for (hub::ShardId from = 0; from < shards_.size(); ++from) {
    Post& post = posts_[from * shards_.size() + to];
    std::ranges::move(std::exchange(post.on_the_way, {}), std::back_inserter(all));
  }
  return all;
}

void Server::send(hub::ShardId to, Shard::Task task) {
  schedule_.after(lateness(), [&shard = *shards_[to], task = std::move(task)]() mutable {
    shard.run(std::move(task));
  });
}

void Server::ask_door(hub::ShardId from, std::uint64_t connection) {
  send(kDoorShard, [this, from, connection](Shard& /*door*/) {
    send(from, [connection](Shard& shard) {
      Connection* found = shard.find(connection);
      if (found != nullptr && !found->is_dropped()) {
        found->admitted();
      }
    });
  });
}

// — the stop —

void Server::stop(Duration deadline, bool hold, std::move_only_function<void()> ended) {
  stopping_ = true;
  hold_ = hold;
  on_ended_ = std::move(ended);
  for (hub::ShardId id = 0; id < shards_.size(); ++id) {
    // Not at once on all: some drain while others still take what is new.
    schedule_.after(schedule_.between(0ms, kApart), [this, id, deadline] {
      shards_[id]->run([this, id, deadline](Shard& shard) {
        door_is_open_ = door_is_open_ && id != kDoorShard;
        shard.drain(deadline, [this, &shard] { drained(shard); });
      });
    });
  }
}

void Server::drained(Shard& shard) {
  ++drained_;
  if (TRUNKLINE_MUTANT("shard-ends-alone") && !hold_) {
    shard.finish();
  }
  let_end();
}

void Server::finish() {
  hold_ = false;
  let_end();
}

void Server::let_end() {
  if (!is_drained() || hold_) {
    return;
  }
  for (hub::ShardId id = 0; id < shards_.size(); ++id) {
    send(id, [](Shard& shard) { shard.finish(); });
  }
}

void Server::ended() {
  ++ended_;
  if (has_ended()) {
    schedule_.after(0ms, [this] {
      for (const auto& shard : shards_) {
        shard->free_rooms();
      }
      if (on_ended_) {
        std::exchange(on_ended_, nullptr)();
      }
    });
  }
}

}  // namespace trunkline::sim
