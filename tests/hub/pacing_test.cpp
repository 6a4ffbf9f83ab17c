// SPDX-License-Identifier: Apache-2.0
#include "hub/pacing.h"

#include "hub_fixture.h"

#include <numeric>
#include <string>
#include <vector>

namespace trunkline::hub {
namespace {

using namespace std::chrono_literals;

TEST(Pacing, OneMayAlwaysBeAhead) {
  EXPECT_TRUE(Pacing{}.allows(1, 1UL << 40U, {}));
}

TEST(Pacing, HalfOfTheHistoryMayBeAhead) {
  const replay::Retention history{.count_max = 10'000, .bytes_max = 10'000'000, .age_max = {}};
  EXPECT_TRUE(Pacing{}.allows(5000, 5'000'000, history));
  EXPECT_FALSE(Pacing{}.allows(5001, 5'000'000, history));
  EXPECT_FALSE(Pacing{}.allows(5000, 5'000'001, history));
  EXPECT_FALSE(Pacing{}.allows(5000, 5'000'000, history, 2));
}

TEST(Pacing, WithoutHistoryHalfOfWhatEveryLogKeeps) {
  EXPECT_TRUE(Pacing{}.allows(2048, 128UL * 1024, {}));
  EXPECT_FALSE(Pacing{}.allows(2049, 0, {}));
  EXPECT_FALSE(Pacing{}.allows(2, 128UL * 1024 + 1, {}));
}

// Four publications may be ahead; what a test publishes beyond them waits.
class PacedHub : public HubTest {
 protected:
  static constexpr std::size_t kFree = 4;

  PacedHub() {
    settings.history.count_max = 0;
    for (const auto& node : nodes) {
      node->hub.set_pacing({.wait_max = 1s, .free_publications = kFree, .free_bytes = 1'000'000});
    }
  }

  void publish_many(ShardId shard, const std::string& channel, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      publish(shard, channel, "x");
      turn();
    }
  }

  // What the connections' flush would do.
  void read_on(Listener& listener) {
    listener.stalled = false;
    listener.on_ready(*listener.subscription);
    turn();
  }

  void pass(Duration time) {
    now += time;
    for (const auto& node : nodes) {
      node->timers.advance(now);
    }
    turn();
  }

  static std::vector<std::uint64_t> up_to(std::uint64_t last) {
    std::vector<std::uint64_t> all(last);
    std::iota(all.begin(), all.end(), 1);
    return all;
  }
};

TEST_F(PacedHub, PublicationsWaitForTheFastestSubscriberInTheirOrder) {
  for (const ShardId subscriber : {0U, 1U}) {
    positions.clear();
    Listener listener;
    attach(subscriber, homes[subscriber], listener);
    turn();
    listener.stalled = true;
    publish_many(2, homes[subscriber], 10);
    EXPECT_EQ(positions, up_to(kFree));
    read_on(listener);
    EXPECT_EQ(positions, up_to(10));
    EXPECT_EQ(listener.lost, 0);
  }
}

TEST_F(PacedHub, AStalledSubscriberBesideAnotherOneDelaysNobody) {
  Listener fast;
  Listener stalled;
  attach(0, homes[1], fast, "fast");
  attach(1, homes[1], stalled, "stalled");
  turn();
  stalled.stalled = true;
  publish_many(1, homes[1], 50);
  EXPECT_EQ(positions, up_to(50));
}

TEST_F(PacedHub, NobodyWaitsWithoutSubscribers) {
  settings.history.count_max = 10;
  publish_many(0, homes[0], 50);
  EXPECT_EQ(positions, up_to(50));
}

TEST_F(PacedHub, WhenEverybodyStandsStillPublishersGoOnUntilSomebodyMoves) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  listener.stalled = true;
  publish_many(0, homes[0], 10);
  pass(900ms);
  EXPECT_EQ(positions, up_to(kFree));
  pass(200ms);
  EXPECT_EQ(positions, up_to(10));
  publish_many(0, homes[0], 10);
  EXPECT_EQ(positions, up_to(20));
  // Once it reads it is waited for again.
  read_on(listener);
  listener.stalled = true;
  publish_many(0, homes[0], 10);
  EXPECT_EQ(positions, up_to(20 + kFree));
}

TEST_F(PacedHub, WhoLeavesIsWaitedForNoLonger) {
  for (const ShardId subscriber : {0U, 1U}) {
    positions.clear();
    Listener listener;
    attach(subscriber, homes[0], listener);
    turn();
    listener.stalled = true;
    publish_many(2, homes[0], 10);
    EXPECT_EQ(positions.size(), kFree);
    listener.subscription.reset();
    turn();
    EXPECT_EQ(positions.size(), 10U);
  }
}

TEST_F(PacedHub, ASlowSubscriberIsWaitedForWhenTheFastOneLeaves) {
  Listener fast;
  Listener slow;
  attach(0, homes[0], fast, "fast");
  attach(1, homes[0], slow, "slow");
  turn();
  slow.stalled = true;
  publish_many(0, homes[0], 10);
  fast.subscription.reset();
  turn();
  positions.clear();
  publish_many(0, homes[0], 3);
  EXPECT_TRUE(positions.empty());
  read_on(slow);
  EXPECT_EQ(positions, (std::vector<std::uint64_t>{11, 12, 13}));
}

TEST_F(PacedHub, TooManyThatWaitGoOnWithTheOldest) {
  for (const auto& node : nodes) {
    node->hub.set_pacing(
        {.wait_max = 1s, .free_publications = 1, .free_bytes = 1, .waiting_bytes_max = 30});
  }
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  listener.stalled = true;
  for (int i = 0; i < 10; ++i) {
    publish(0, homes[0], "ten bytes.");
    turn();
  }
  EXPECT_EQ(positions, up_to(7));
  EXPECT_EQ(nodes[0]->hub.waiting_bytes(), 30U);
  read_on(listener);
  turn();
  EXPECT_EQ(positions, up_to(10));
  EXPECT_EQ(nodes[0]->hub.waiting_bytes(), 0U);
  EXPECT_EQ(nodes[0]->hub.stats().home.delayed, 9U);
}

TEST_F(PacedHub, SwitchedOffNobodyWaits) {
  for (const auto& node : nodes) {
    node->hub.set_pacing({.wait_max = 0s, .free_publications = 1, .free_bytes = 1});
  }
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  listener.stalled = true;
  publish_many(0, homes[0], 10);
  EXPECT_EQ(positions, up_to(10));
}

}  // namespace
}  // namespace trunkline::hub
