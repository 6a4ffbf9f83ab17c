// SPDX-License-Identifier: Apache-2.0
//
// A shard's account of its memory, kept up as it goes: nothing is walked.
#include "net/shard.h"

#include <utility>

namespace trunkline::net {

namespace {

// What a connection holds beside its outbox, about: the objects, and what hangs on them (ids, hash
// table nodes, what the allocator adds). With one subscription 2,000 bytes of resident memory each,
// measured over 3,000 idle clients on 100 channels.
constexpr std::size_t kConnectionBytes = sizeof(Connection) + sizeof(session::Session) + 768;
// A subscription with its entries in the session and in the feed, about.
constexpr std::size_t kSubscriptionBytes = sizeof(hub::Subscription) + 288;

}  // namespace

void Shard::account(Connection& connection) {
  const std::size_t bytes = connection.outbox_.pending_bytes();
  outbox_bytes_ += bytes;
  outbox_bytes_ -= std::exchange(connection.accounted_bytes_, bytes);
}

MemoryUse Shard::memory_use() const {
  const replay::EngineStats engine = engine_.stats();
  return {.evictable = static_cast<std::size_t>(engine.memory_bytes - engine.fixed_bytes),
          .fixed = outbox_bytes_ + scratch_.state_bytes() +
                   static_cast<std::size_t>(hub_.waiting_bytes()) +
                   connections_.size() * kConnectionBytes +
                   static_cast<std::size_t>(hub_.subscriptions()) * kSubscriptionBytes +
                   static_cast<std::size_t>(engine.fixed_bytes)};
}

void Shard::keep_within_memory() {
  MemoryBudget* budget = options_.memory;
  if (budget == nullptr || budget->limit() == 0) {
    return;
  }
  budget->report(self_, memory_use());
  const std::size_t to_evict = budget->to_evict(self_);
  if (to_evict > 0) {
    engine_.shrink(to_evict);
    budget->report(self_, memory_use());
  }
}

}  // namespace trunkline::net
