// SPDX-License-Identifier: Apache-2.0
//
// Takers against nodes that answer as the test says.
#include "locks/taker.h"

#include "processes/child_process.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <utility>

namespace locks {
namespace {

using namespace std::chrono_literals;
using trunkline::processes::Heard;

// Says always the same to a verb; none: nothing, ever.
struct Node {
  std::optional<Verdict> acquire = Verdict::kGranted;
  std::optional<Verdict> refresh = Verdict::kKept;
  std::vector<Owner> acquired{};
  std::vector<Owner> released{};
};

class TakerTest : public ::testing::Test {
 protected:
  TakerOptions options(std::chrono::milliseconds lease) {
    TakerOptions made{.voters = {}, .lease = lease};
    for (Node& node : nodes) {
      made.voters.push_back([this, &node](Verb verb, const LockRequest& request,
                                          std::chrono::milliseconds,
                                          std::function<void(std::optional<LockReply>)> done) {
        std::optional<Verdict> verdict = Verdict::kReleased;
        heard.change([&] {
          if (verb == Verb::kRelease) {
            node.released.push_back(request.owner);
          } else {
            verdict = verb == Verb::kAcquire ? node.acquire : node.refresh;
            node.acquired.push_back(request.owner);
          }
        });
        if (verdict.has_value()) {
          done(LockReply{*verdict});
        }
      });
    }
    return made;
  }

  Heard heard;
  std::array<Node, 3> nodes;
};

TEST_F(TakerTest, HasALockThatMoreThanHalfHaveGranted) {
  nodes[0].acquire.reset();
  Taker taker(options(60s));
  const auto before = Clock::now();
  const std::unique_ptr<Hold> held = taker.try_take("door");
  ASSERT_NE(held, nullptr);
  EXPECT_TRUE(held->valid());
  EXPECT_FALSE(held->lost().stop_requested());
  // Less than the lease: no node may forget before.
  EXPECT_LT(held->valid_until(), Clock::now() + 60s);
  EXPECT_GT(held->valid_until(), before + 59s);
}

TEST_F(TakerTest, AnAttemptThatFailsGivesBackEverywhereAndTheNextHasAnotherOwner) {
  nodes[0].acquire.reset();  // it may have granted it all the same
  nodes[1].acquire = Verdict::kHeld;
  Taker taker(options(400ms));
  EXPECT_EQ(taker.try_take("door"), nullptr);
  EXPECT_EQ(taker.try_take("door"), nullptr);
  for (const Node& node : nodes) {
    ASSERT_EQ(node.released.size(), 2U);
    EXPECT_EQ(node.released, node.acquired);
    EXPECT_NE(node.released[0], node.released[1]);
  }
}

TEST_F(TakerTest, WhatIsNotKeptByMoreThanHalfIsLost) {
  Taker taker(options(300ms));
  nodes[0].refresh = Verdict::kGranted;  // restarted: it does not count
  nodes[1].refresh = Verdict::kTooEarly;
  const std::unique_ptr<Hold> held = taker.try_take("door");
  ASSERT_NE(held, nullptr);
  std::promise<void> lost;
  const std::stop_callback told(held->lost(), [&lost] { lost.set_value(); });
  EXPECT_EQ(lost.get_future().wait_for(trunkline::processes::kPatience), std::future_status::ready);
  EXPECT_FALSE(held->valid());
}

TEST_F(TakerTest, WithoutAnswersItIsLostWhenItsLeaseHasRunOut) {
  Taker taker(options(300ms));
  nodes[0].refresh.reset();
  nodes[1].refresh.reset();
  const std::unique_ptr<Hold> held = taker.try_take("door");
  ASSERT_NE(held, nullptr);
  const Clock::time_point until = held->valid_until();
  std::promise<void> lost;
  const std::stop_callback told(held->lost(), [&lost] { lost.set_value(); });
  EXPECT_EQ(lost.get_future().wait_for(trunkline::processes::kPatience), std::future_status::ready);
  EXPECT_GE(Clock::now(), until);
  EXPECT_FALSE(held->valid());
}

}  // namespace
}  // namespace locks
