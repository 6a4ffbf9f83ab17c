// SPDX-License-Identifier: Apache-2.0
#include "net/memory_budget.h"

#include <gtest/gtest.h>

namespace trunkline::net {
namespace {

TEST(MemoryBudget, WithoutALimitIsNeverExhausted) {
  MemoryBudget budget(0, 2);
  budget.report(0, {.logs = SIZE_MAX / 4, .other = SIZE_MAX / 4});
  EXPECT_FALSE(budget.exhausted());
  EXPECT_EQ(budget.to_evict(0), 0U);
}

TEST(MemoryBudget, AddsUpWhatTheShardsHold) {
  MemoryBudget budget(100, 2);
  budget.report(0, {.logs = 40, .other = 10});
  budget.report(1, {.logs = 0, .other = 50});
  EXPECT_FALSE(budget.exhausted());
  budget.report(1, {.logs = 0, .other = 51});
  EXPECT_TRUE(budget.exhausted());
  budget.report(0, {.logs = 39, .other = 10});
  EXPECT_FALSE(budget.exhausted());
}

TEST(MemoryBudget, EachShardEvictsItsPartOfTheExcess) {
  MemoryBudget budget(100, 3);
  budget.report(0, {.logs = 90, .other = 0});
  budget.report(1, {.logs = 30, .other = 0});
  budget.report(2, {.logs = 0, .other = 20});
  EXPECT_EQ(budget.to_evict(0), 30U);
  EXPECT_EQ(budget.to_evict(1), 10U);
  EXPECT_EQ(budget.to_evict(2), 0U);
}

TEST(MemoryBudget, AsksForNoMoreThanThereIs) {
  MemoryBudget budget(100, 1);
  budget.report(0, {.logs = 30, .other = 500});
  EXPECT_EQ(budget.to_evict(0), 30U);
  budget.report(0, {.logs = 0, .other = 500});
  EXPECT_EQ(budget.to_evict(0), 0U);
  EXPECT_TRUE(budget.exhausted());
}

}  // namespace
}  // namespace trunkline::net
