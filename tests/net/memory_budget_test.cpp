// SPDX-License-Identifier: Apache-2.0
#include "net/memory_budget.h"

#include <gtest/gtest.h>

namespace trunkline::net {
namespace {

TEST(MemoryBudget, WithoutALimitIsNeverExhausted) {
  MemoryBudget budget(0, 2);
  budget.report(0, {.evictable = SIZE_MAX / 4, .fixed = SIZE_MAX / 4});
  EXPECT_FALSE(budget.exhausted());
  EXPECT_EQ(budget.to_evict(0), 0U);
}

TEST(MemoryBudget, AddsUpWhatTheShardsHold) {
  MemoryBudget budget(100, 2);
  budget.report(0, {.evictable = 0, .fixed = 50});
  budget.report(1, {.evictable = 0, .fixed = 50});
  EXPECT_FALSE(budget.exhausted());
  budget.report(1, {.evictable = 0, .fixed = 51});
  EXPECT_TRUE(budget.exhausted());
  budget.report(0, {.evictable = 0, .fixed = 49});
  EXPECT_FALSE(budget.exhausted());
}

// A connection was refused while a shard that slept held logs which it had to evict.
TEST(MemoryBudget, IsNotExhaustedByWhatCanBeEvicted) {
  MemoryBudget budget(100, 2);
  budget.report(0, {.evictable = 0, .fixed = 90});
  budget.report(1, {.evictable = 90, .fixed = 10});
  EXPECT_FALSE(budget.exhausted());
  EXPECT_EQ(budget.to_evict(1), 90U);
}

TEST(MemoryBudget, EachShardEvictsItsPartOfTheExcess) {
  MemoryBudget budget(100, 3);
  budget.report(0, {.evictable = 90, .fixed = 0});
  budget.report(1, {.evictable = 30, .fixed = 0});
  budget.report(2, {.evictable = 0, .fixed = 20});
  EXPECT_EQ(budget.to_evict(0), 30U);
  EXPECT_EQ(budget.to_evict(1), 10U);
  EXPECT_EQ(budget.to_evict(2), 0U);
}

TEST(MemoryBudget, AsksForNoMoreThanThereIs) {
  MemoryBudget budget(100, 1);
  budget.report(0, {.evictable = 30, .fixed = 500});
  EXPECT_EQ(budget.to_evict(0), 30U);
  budget.report(0, {.evictable = 0, .fixed = 500});
  EXPECT_EQ(budget.to_evict(0), 0U);
  EXPECT_TRUE(budget.exhausted());
}

}  // namespace
}  // namespace trunkline::net
