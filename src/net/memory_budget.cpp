// SPDX-License-Identifier: Apache-2.0
#include "net/memory_budget.h"

#include <algorithm>
#include <cmath>

namespace trunkline::net {

MemoryUse MemoryBudget::total() const {
  MemoryUse sum;
  for (const Slot& slot : slots_) {
    sum.evictable += slot.evictable.load(std::memory_order_relaxed);
    sum.fixed += slot.fixed.load(std::memory_order_relaxed);
  }
  return sum;
}

std::size_t MemoryBudget::to_evict(hub::ShardId shard) const {
  const MemoryUse all = total();
  if (limit_ == 0 || all.total() <= limit_ || all.evictable == 0) {
    return 0;
  }
  const double excess = static_cast<double>(std::min(all.total() - limit_, all.evictable));
  const auto own = static_cast<double>(slots_[shard].evictable.load(std::memory_order_relaxed));
  return static_cast<std::size_t>(std::ceil(excess * own / static_cast<double>(all.evictable)));
}

}  // namespace trunkline::net
