// SPDX-License-Identifier: Apache-2.0
#include "net/runtime.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

namespace trunkline::net {

namespace {

RuntimeOptions with_defaults(RuntimeOptions options) {
  if (options.shards == 0) {
    options.shards = std::max(1U, std::thread::hardware_concurrency());
  }
  options.shard.engine.total_bytes_max =
      std::max<std::size_t>(options.shard.engine.total_bytes_max / options.shards, 1);
  return options;
}

// A connection is a descriptor: use all that the system grants. Says how many that is.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

std::uint64_t fresh_seed() {
  std::random_device entropy;
  return (std::uint64_t{entropy()} << 32U) | entropy();
}

}  // namespace

// The lambdas of the shards' options are called by shards only: when they run, everything here is
// there.
RuntimeOptions Runtime::prepared(RuntimeOptions options) {
  RuntimeOptions made = with_defaults(std::move(options));
  for (unsigned i = 0; i < made.shards; ++i) {
    mailboxes_.push_back(std::make_unique<Mailbox>());
  }
  memory_ = std::make_unique<MemoryBudget>(made.limits.memory_bytes_max, made.shards);
  made.shard.memory = memory_.get();
  const LimitOptions& limits = made.limits;
  if (limits.connections_max > 0 || limits.handshakes_per_second > 0 ||
      limits.memory_bytes_max > 0) {
    made.shard.ask_handshake = [this](const HandshakeAsk& ask) {
      post(kDoorShard, [this, ask](Shard& /*shard*/) { door_->handshake(ask); });
    };
  }
  return made;
}

Runtime::Runtime(RuntimeOptions options, const session::Authenticator& authenticator)
    : options_(prepared(std::move(options))),
      give_back_([this](const Place& place) {
        post(kDoorShard, [this, place](Shard& /*shard*/) { door_->leave(place); });
      }),
      drained_(options_.shards) {
  for (unsigned i = 0; i < options_.shards; ++i) {
    shards_.push_back(
        std::make_unique<Shard>(i, mailboxes_, options_.shard, authenticator, fresh_seed()));
  }
}

Runtime::~Runtime() {
  stop(Duration{0});
}

std::unique_ptr<Door> Runtime::make_door() {
  return std::make_unique<Door>(
      shards_[kDoorShard]->io(), options_.limits, *memory_, fresh_seed(),
      Door::Handlers{
          .adopt =
              [this, next = hub::ShardId{0}](int descriptor, const Place& place) mutable {
                const hub::ShardId shard = next++ % shards();
                Ticket ticket(place, give_back_);
                if (!post(shard, [descriptor, ticket = std::move(ticket)](Shard& owner) mutable {
                      owner.adopt(descriptor, std::move(ticket));
                    })) {
                  ::close(descriptor);
                }
              },
          .answer =
              [this](const HandshakeAsk& ask, std::optional<Refusal> refused) {
                post(ask.shard, [this, ask, refused](Shard& owner) {
                  if (!owner.answer_handshake(ask.connection, refused) && !refused.has_value()) {
                    post(kDoorShard, [this](Shard& /*shard*/) { door_->handshake_unused(); });
                  }
                });
              },
          .log = options_.shard.log});
}

Result<void> Runtime::start() {
  const std::size_t descriptors = raise_descriptor_limit();
  if (options_.limits.connections_max + Admission::kSpareMax > descriptors &&
      options_.limits.connections_max > 0) {
    options_.shard.log(fmt::format(
        "client.connection_limit is {}, but this process may open {} files: connections "
        "will be refused before the limit is reached",
        options_.limits.connections_max, descriptors));
  }
  if (options_.listen) {
    door_ = make_door();
    const Result<std::uint16_t> port = door_->open(options_.address, options_.port);
    if (!port.has_value()) {
      return std::unexpected(port.error());
    }
    port_ = *port;
    door_->start();
  }
  for (const auto& shard : shards_) {
    options_.prepare(*shard);
    shard->start();
  }
  started_ = true;
  return {};
}

void Runtime::set_tls(const std::shared_ptr<const TlsContext>& context) {
  for (const auto& shard : shards_) {
    post(shard->self(), [context](Shard& owner) { owner.set_tls(context); });
  }
}

bool Runtime::post(hub::ShardId shard, Task task) {
  return mailboxes_[shard]->post(std::move(task));
}

void Runtime::stop(Duration deadline) {
  if (!std::exchange(started_, false)) {
    return;
  }
  post(kDoorShard, [this](Shard& /*shard*/) {
    if (door_) {
      door_->close();
    }
  });
  for (hub::ShardId shard = 0; shard < shards(); ++shard) {
    post(shard, [this, deadline](Shard& owner) {
      owner.drain(deadline, [this] { drained_.count_down(); });
    });
  }
  // A shard without connections may still be asked by those of others.
  drained_.wait();
  for (hub::ShardId shard = 0; shard < shards(); ++shard) {
    post(shard, [](Shard& owner) { owner.finish(); });
  }
  for (const auto& shard : shards_) {
    shard->join();
  }
  door_.reset();
}

}  // namespace trunkline::net
