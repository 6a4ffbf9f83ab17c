// SPDX-License-Identifier: Apache-2.0
#include "net/runtime.h"

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

// A connection is a descriptor: use all that the system grants.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

}  // namespace

Runtime::Runtime(RuntimeOptions options, const session::Authenticator& authenticator)
    : options_(with_defaults(std::move(options))) {
  std::random_device entropy;
  for (unsigned i = 0; i < options_.shards; ++i) {
    mailboxes_.push_back(std::make_unique<Mailbox>());
  }
  for (unsigned i = 0; i < options_.shards; ++i) {
    const std::uint64_t seed = (std::uint64_t{entropy()} << 32U) | entropy();
    shards_.push_back(std::make_unique<Shard>(i, mailboxes_, options_.shard, authenticator, seed));
  }
}

Runtime::~Runtime() {
  stop(Duration{0});
}

Result<void> Runtime::start() {
  raise_descriptor_limit();
  if (options_.listen) {
    listener_ = std::make_unique<Listener>(
        shards_[0]->io(),
        [this, next = hub::ShardId{0}](int descriptor) mutable {
          const hub::ShardId shard = next++ % shards();
          if (!post(shard, [descriptor](Shard& owner) { owner.adopt(descriptor); })) {
            ::close(descriptor);
          }
        },
        options_.shard.log);
    const Result<std::uint16_t> port = listener_->open(options_.address, options_.port);
    if (!port.has_value()) {
      return std::unexpected(port.error());
    }
    port_ = *port;
    listener_->start();
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
  post(0, [this](Shard& /*shard*/) {
    if (listener_) {
      listener_->close();
    }
  });
  for (hub::ShardId shard = 0; shard < shards(); ++shard) {
    post(shard, [deadline](Shard& owner) { owner.drain(deadline); });
  }
  for (const auto& shard : shards_) {
    shard->join();
  }
  listener_.reset();
}

}  // namespace trunkline::net
