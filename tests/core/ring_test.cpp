// SPDX-License-Identifier: Apache-2.0
#include "core/ring.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>

namespace trunkline {
namespace {

TEST(Ring, CostsNothingBeforeItsFirstElement) {
  const Ring<std::string> ring;
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.capacity_bytes(), 0U);
}

TEST(Ring, ReleasesAnElementWhenItIsPopped) {
  Ring<std::shared_ptr<int>> ring;
  const auto value = std::make_shared<int>(7);
  ring.push_back(value);
  ring.push_back(value);
  ASSERT_EQ(value.use_count(), 3);
  ring.pop_front();
  EXPECT_EQ(value.use_count(), 2);
}

TEST(Ring, GrowsInTheMiddleOfAWrapWithoutChangingTheOrder) {
  Ring<int> ring;
  for (int i = 0; i < 4; ++i) {
    ring.push_back(i);
  }
  ring.pop_front();
  ring.pop_front();
  ring.push_back(4);
  ring.push_back(5);  // full, and its first element is in the middle of the block
  ring.push_back(6);
  ASSERT_EQ(ring.size(), 5U);
  for (std::size_t i = 0; i < ring.size(); ++i) {
    EXPECT_EQ(ring[i], static_cast<int>(i) + 2);
  }
}

TEST(Ring, PushesACopyOfItsOwnElementWhileGrowing) {
  Ring<std::string> ring;
  for (int i = 0; i < 4; ++i) {
    ring.push_back(std::string(40, 'x'));
  }
  ring.push_back(ring.front());
  EXPECT_EQ(ring.back(), std::string(40, 'x'));
  EXPECT_EQ(ring.front(), std::string(40, 'x'));
}

TEST(Ring, AMovedFromRingIsEmptyAndUsable) {
  Ring<int> from;
  from.push_back(1);
  Ring<int> to = std::move(from);
  EXPECT_EQ(to.front(), 1);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): the property under test
  from.push_back(2);
  EXPECT_EQ(from.back(), 2);
}

TEST(Ring, ClearGivesTheMemoryBack) {
  Ring<int> ring;
  ring.push_back(1);
  ring.clear();
  EXPECT_EQ(ring.size(), 0U);
  EXPECT_EQ(ring.capacity_bytes(), 0U);
  ring.push_back(2);
  EXPECT_EQ(ring.front(), 2);
}

TEST(RingDeathTest, PoppingAnEmptyRingIsABug) {
  Ring<int> ring;
  EXPECT_DEATH(ring.pop_front(), "size_ > 0");
}

TEST(RingModel, EqualsADequeUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Ring<std::uint64_t> ring;
    std::deque<std::uint64_t> model;
    for (int step = 0; step < 500; ++step) {
      // Phases of growing and of shrinking, so that every fill level is passed at every head.
      if (random.below(100) < ((step / 60) % 2 == 0 ? 70U : 30U)) {
        const std::uint64_t value = random.next();
        ring.push_back(value);
        model.push_back(value);
      } else if (!model.empty()) {
        ring.pop_front();
        model.pop_front();
      }
      ASSERT_EQ(ring.size(), model.size());
      for (std::size_t i = 0; i < model.size(); ++i) {
        ASSERT_EQ(ring[i], model[i]);
      }
      if (!model.empty()) {
        ASSERT_EQ(ring.front(), model.front());
        ASSERT_EQ(ring.back(), model.back());
      }
    }
  }
}

}  // namespace
}  // namespace trunkline
