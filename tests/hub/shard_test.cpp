// SPDX-License-Identifier: Apache-2.0
#include "hub/shard.h"

#include "hub/idempotency.h"
#include "hub_fixture.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace trunkline::hub {
namespace {

TEST_F(HubTest, SubscribersOnEveryShardGetEverythingOnceInOrder) {
  for (const auto& [home, channel] : homes) {
    std::array<Listener, kShards> listeners;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      attach(shard, channel, listeners[shard]);
    }
    turn();
    for (ShardId shard = 0; shard < kShards; ++shard) {
      publish(shard, channel, std::to_string(shard));
      turn();
    }
    for (const Listener& listener : listeners) {
      EXPECT_EQ(listener.received, "[0][1][2]");
    }
  }
}

TEST_F(HubTest, OneUpdateATurnGoesToAShardWhateverWasPublished) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  for (int i = 0; i < 50; ++i) {
    publish(0, homes[0], "x");
  }
  nodes[0]->hub.announce();
  EXPECT_EQ(mail.size(), 1U);
  turn();
  EXPECT_EQ(listener.received.size(), 150U);
}

TEST_F(HubTest, AttachInTheMiddleOfATurnSeesEachPublicationOnce) {
  Listener early;
  Listener late;
  attach(1, homes[0], early);
  turn();
  publish(0, homes[0], "before");
  attach(1, homes[0], late);
  deliver_mail();
  publish(0, homes[0], "after");
  turn();
  EXPECT_EQ(early.received, "[before][after]");
  EXPECT_EQ(late.received, "[after]");
  EXPECT_EQ(late.attached.top.offset, Offset{1});
}

TEST_F(HubTest, AStalledSubscriberCatchesUpFromTheLog) {
  Listener slow;
  Listener fast;
  attach(1, homes[0], slow);
  attach(1, homes[0], fast);
  turn();
  slow.stalled = true;
  for (int i = 0; i < 30; ++i) {
    publish(0, homes[0], std::to_string(i % 10));
    turn();
  }
  EXPECT_EQ(slow.received, "");
  slow.stalled = false;
  slow.on_ready(*slow.subscription);
  EXPECT_EQ(slow.received, fast.received);
}

TEST_F(HubTest, ASubscriberWhoseNextIsGoneIsToldAndGetsNothingMore) {
  Listener slow;
  attach(1, homes[0], slow);
  turn();
  slow.stalled = true;
  for (int i = 0; i < 20; ++i) {
    publish(0, homes[0], "x");
    turn();
  }
  now += replay::kCatchUp.age_max;
  publish(0, homes[0], "y");
  turn();
  // Another shard learns with the next update what the home has forgotten.
  publish(0, homes[0], "z");
  turn();
  slow.stalled = false;
  slow.on_ready(*slow.subscription);
  turn();
  EXPECT_EQ(slow.lost, 1);
  EXPECT_EQ(slow.received, "");
}

TEST_F(HubTest, JoinsAndLeavesGoToThoseWhoAskedAndToTheJoinerItself) {
  settings.join_leave = true;
  Listener first;
  Listener second;
  attach(0, homes[1], first, "a");
  turn();
  attach(2, homes[1], second, "b");
  turn();
  EXPECT_EQ(first.events, "+a+b");
  EXPECT_EQ(second.events, "+b");
  second.subscription.reset();
  turn();
  EXPECT_EQ(first.events, "+a+b-b");
}

TEST_F(HubTest, PresenceNamesTheMembersAndForgetsThoseWhoLeft) {
  settings.presence = true;
  Listener first;
  Listener second;
  attach(0, homes[1], first, "a");
  attach(2, homes[1], second, "b");
  turn();
  first.subscription.reset();
  turn();
  Presence members;
  nodes[0]->hub.presence(
      {.channel = homes[1], .done = [&](Result<Presence> presence) { members = *presence; }}, now);
  turn();
  ASSERT_EQ(members.size(), 1U);
  EXPECT_EQ(members[0].client, "b");
}

TEST_F(HubTest, AnAttachThatNobodyWantsAnyMoreIsUndone) {
  nodes[1]->hub.attach({.channel = homes[0],
                        .settings = settings,
                        .member = {},
                        .sink = []() -> Sink* { return nullptr; },
                        .take = [](std::unique_ptr<Subscription>, const Attached&) { FAIL(); }},
                       now);
  turn();
  EXPECT_EQ(nodes[0]->hub.stats().home.channels, 0U);
  EXPECT_EQ(subscriptions(), 0U);
}

TEST_F(HubTest, NothingIsLeftWhenTheLastSubscriberHasGone) {
  settings.history = {};
  Listener listener;
  attach(1, homes[2], listener);
  turn();
  publish(0, homes[2], "x");
  turn();
  EXPECT_EQ(listener.received, "[x]");
  listener.subscription.reset();
  turn();
  for (const auto& node : nodes) {
    EXPECT_EQ(node->hub.stats().home.channels, 0U);
    EXPECT_EQ(node->hub.stats().engine.logs, 0U);
  }
}

TEST_F(HubTest, AnUnloggedPublicationHasNoOffset) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  publish(2, homes[0], "now", false);
  publish(2, homes[0], "log");
  turn();
  EXPECT_EQ(listener.events, "(now)");
  EXPECT_EQ(listener.received, "[log]");
  EXPECT_EQ(positions, (std::vector<std::uint64_t>{0, 1}));
}

TEST_F(HubTest, ARepeatedKeyPublishesOnceForFiveMinutes) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  publish(0, homes[0], "x", true, "key");
  publish(0, homes[0], "x", true, "key");
  turn();
  EXPECT_EQ(listener.received, "[x]");
  EXPECT_EQ(positions, (std::vector<std::uint64_t>{1, 1}));
  now += RecentKeys::kAge;
  publish(0, homes[0], "x", true, "key");
  turn();
  EXPECT_EQ(listener.received, "[x][x]");
}

TEST_F(HubTest, ListsTheChannelsOfAllShardsWithTheirSubscribers) {
  std::array<Listener, 4> listeners;
  attach(0, homes[0], listeners[0], "a");
  attach(1, homes[0], listeners[1], "b");
  attach(1, homes[1], listeners[2], "c");
  attach(1, homes[2], listeners[3], "d");
  turn();
  ChannelCounts counts;
  nodes[2]->hub.channels(
      [&](Result<ChannelCounts> all) {
        if (all.has_value()) {
          counts = std::move(*all);
        }
      },
      now);
  turn();
  std::ranges::sort(counts);
  ChannelCounts expected = {{homes[0], 2}, {homes[1], 1}, {homes[2], 1}};
  std::ranges::sort(expected);
  EXPECT_EQ(counts, expected);
}

TEST_F(HubTest, HistoryReadsForwardsBackwardsAndSince) {
  for (int i = 1; i <= 12; ++i) {
    publish(0, homes[0], std::to_string(i));
  }
  const auto read = [this](HistoryQuery query) {
    std::string publications;
    nodes[1]->hub.history({.channel = homes[0],
                           .settings = settings,
                           .query = std::move(query),
                           .done =
                               [&](Result<History> history) {
                                 publications = history.has_value() ? history->publications
                                                                    : to_string(history.error());
                               }},
                          now);
    turn();
    return publications;
  };
  EXPECT_EQ(read({.since = {}, .reverse = false, .limit = 3}), "3,4,5");
  EXPECT_EQ(read({.since = {}, .reverse = true, .limit = 3}), "12,11,10");
  EXPECT_EQ(read({.since = Position{"", Offset{10}}, .reverse = false, .limit = 9}), "11,12");
  EXPECT_EQ(read({.since = Position{"", Offset{6}}, .reverse = true, .limit = 9}), "5,4,3");
  EXPECT_EQ(read({.since = {}, .reverse = false, .limit = 0}), "");
  EXPECT_TRUE(read({.since = Position{"other", Offset{10}}, .reverse = false, .limit = 9})
                  .starts_with("unrecoverable_position"));
}

}  // namespace
}  // namespace trunkline::hub
