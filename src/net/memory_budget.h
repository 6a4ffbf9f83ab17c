// SPDX-License-Identifier: Apache-2.0
//
// What the shards hold together, against one limit. Each shard writes its own figures at the end of
// its turns and reads the verdict; nothing is locked. The figures are the server's own account, not
// the process's size: what is in them, and what is not, is in docs/limits.md.
#pragma once

#include "hub/messages.h"

#include <atomic>
#include <cstddef>
#include <vector>

namespace trunkline::net {

struct MemoryUse {
  std::size_t evictable = 0;  // publications in logs
  std::size_t fixed = 0;      // outboxes, connections, zlib, subscriptions, positions

  [[nodiscard]] std::size_t total() const { return evictable + fixed; }
};

// Thread: any, but where it says otherwise.
class MemoryBudget {
 public:
  // `limit` in bytes; 0: none.
  MemoryBudget(std::size_t limit, hub::ShardId shards) : limit_(limit), slots_(shards) {}

  // What `shard` holds now. Thread: that shard.
  void report(hub::ShardId shard, const MemoryUse& use) {
    slots_[shard].evictable.store(use.evictable, std::memory_order_relaxed);
    slots_[shard].fixed.store(use.fixed, std::memory_order_relaxed);
  }

  // Nothing may begin that is not there already, as of the last reports: with all logs evicted
  // there would still be more than the limit. The logs themselves do not count: a shard that holds
  // some may sleep, and others must not be refused for what it evicts when it wakes. Added up anew
  // each time: a flag that the reporting shards set would be left wrong by two that report at once.
  [[nodiscard]] bool exhausted() const { return limit_ > 0 && total().fixed > limit_; }

  // How much `shard` has to evict: its part of what all have to give.
  [[nodiscard]] std::size_t to_evict(hub::ShardId shard) const;

  [[nodiscard]] MemoryUse total() const;

  [[nodiscard]] std::size_t limit() const { return limit_; }

 private:
  // A cache line each: a shard's report must not slow another's.
  struct alignas(64) Slot {
    std::atomic<std::size_t> evictable{0};
    std::atomic<std::size_t> fixed{0};
  };

  const std::size_t limit_;
  std::vector<Slot> slots_;
};

}  // namespace trunkline::net
