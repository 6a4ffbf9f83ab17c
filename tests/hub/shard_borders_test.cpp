// SPDX-License-Identifier: Apache-2.0
#include "hub/idempotency.h"
#include "hub/shard.h"
#include "hub_fixture.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace trunkline::hub {
namespace {

TEST_F(HubTest, ASinkThatTakesAPartGoesOnExactlyThere) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  listener.stalled = true;
  for (int i = 0; i < 5; ++i) {
    publish(0, homes[0], std::string(3, static_cast<char>('a' + i)));
  }
  turn();
  // A socket that takes one byte, then two, …; the rest of a begun frame is the sink's to write.
  std::string written;
  for (std::size_t take = 1; take < 20; ++take) {
    const std::string_view run = listener.subscription->peek(1 << 20);
    if (run.empty()) {
      break;
    }
    const std::size_t part = std::min(take, run.size());
    written += run.substr(0, part);
    written += listener.subscription->taken(part).rest;
  }
  EXPECT_EQ(written, "[aaa][bbb][ccc][ddd][eee]");
}

TEST_F(HubTest, TakingNothingChangesNothing) {
  Listener listener;
  attach(0, homes[0], listener);
  turn();
  listener.stalled = true;
  publish(0, homes[0], "x");
  turn();
  EXPECT_EQ(listener.subscription->peek(100), "[x]");
  const auto taken = listener.subscription->taken(0);
  EXPECT_TRUE(taken.rest.empty());
  EXPECT_TRUE(taken.more);
  EXPECT_EQ(listener.subscription->peek(100), "[x]");
}

// The member was there when the continuation ended the subscription, so a leave was sent for a
// join that nobody had seen.
TEST_F(HubTest, OneWhoIsRefusedAtOnceNeverJoinedAndDoesNotLeave) {
  settings.join_leave = true;
  Listener watcher;
  attach(1, homes[1], watcher, "a");
  turn();
  for (const ShardId shard : {1U, 2U}) {
    watcher.events.clear();
    Listener refused;
    nodes[shard]->hub.attach(
        {.channel = homes[1],
         .settings = settings,
         .member = {"b", "", "", ""},
         .sink = [&refused]() -> Sink* { return &refused; },
         .take = [](std::unique_ptr<Subscription> /*ended*/, const Attached&) {}},
        now);
    turn();
    // At another shard the refusal comes after the join: then both are told.
    EXPECT_EQ(watcher.events, shard == 1 ? "" : "+b-b");
    EXPECT_EQ(subscriptions(), 1U);
  }
}

TEST_F(HubTest, HistoryRemovedInTheMiddleOfATurnTakesNothingFromTheConnected) {
  Listener at_home;
  Listener elsewhere;
  attach(0, homes[0], at_home);
  attach(1, homes[0], elsewhere);
  turn();
  publish(0, homes[0], "x");
  nodes[0]->hub.history_remove(
      {.channel = homes[0], .settings = settings, .done = [](Result<Position>) {}}, now);
  turn();
  EXPECT_EQ(elsewhere.received, "[x]");
  EXPECT_EQ(at_home.received, "[x]");
  EXPECT_EQ(at_home.lost, 0);
}

TEST_F(HubTest, RemovedHistoryIsGoneAndThePositionStays) {
  publish(0, homes[0], "x");
  Position top;
  nodes[2]->hub.history_remove({.channel = homes[0],
                                .settings = settings,
                                .done = [&](Result<Position> position) { top = *position; }},
                               now);
  turn();
  EXPECT_EQ(top.offset, Offset{1});
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  EXPECT_EQ(listener.attached.top, top);
  EXPECT_EQ(listener.attached.history_first, Offset{2});
  publish(0, homes[0], "y");
  turn();
  EXPECT_EQ(positions.back(), 2U);
  EXPECT_EQ(listener.received, "[y]");
}

TEST_F(HubTest, LeavingAndComingBackWithUpdatesOnTheirWayRepeatsNothing) {
  auto listener = std::make_unique<Listener>();
  attach(1, homes[0], *listener);
  turn();
  publish(0, homes[0], "1");
  nodes[0]->hub.announce();  // the update is in the mail
  listener = std::make_unique<Listener>();
  attach(1, homes[0], *listener);
  publish(0, homes[0], "2");
  nodes[0]->hub.announce();
  turn();
  EXPECT_EQ(listener->received, "");
  EXPECT_EQ(listener->attached.top.offset, Offset{2});
  publish(0, homes[0], "3");
  turn();
  EXPECT_EQ(listener->received, "[3]");
}

// The home forgets by its timer and tells nobody; the others look at the clock themselves.
TEST_F(HubTest, AMirrorForgetsWhatHasBecomeTooOldWithoutAnotherPublication) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  listener.stalled = true;
  publish(0, homes[0], "old");
  turn();
  now += std::chrono::seconds(50);
  publish(0, homes[0], "new");
  turn();
  now += std::chrono::seconds(11);
  nodes[1]->timers.advance(now);
  listener.stalled = false;
  EXPECT_TRUE(listener.subscription->peek(100).empty());
  turn();
  EXPECT_EQ(listener.lost, 1);

  listener.subscription->resume_at(Offset{2});
  turn();
  EXPECT_EQ(listener.received, "[new]");
  now += std::chrono::seconds(50);
  nodes[1]->timers.advance(now);
  EXPECT_FALSE(nodes[1]->timers.next_wakeup().has_value());
}

TEST_F(HubTest, AKeyOfAnUnloggedPublicationCountsToo) {
  Listener listener;
  attach(1, homes[0], listener);
  turn();
  publish(0, homes[0], "x", false, "key");
  publish(2, homes[0], "x", false, "key");
  turn();
  EXPECT_EQ(listener.events, "(x)");
}

TEST_F(HubTest, AChannelThatOnlyRemembersKeysGoesWithThem) {
  settings.history = {};
  publish(0, homes[0], "x", true, "key");
  turn();
  EXPECT_EQ(nodes[0]->hub.stats().home.channels, 1U);
  now += RecentKeys::kAge;
  turn();
  EXPECT_EQ(nodes[0]->hub.stats().home.channels, 0U);
}

TEST_F(HubTest, UsersAreCountedOnceWhateverTheirConnections) {
  settings.presence = true;
  std::array<Listener, 3> listeners;
  const char* clients[] = {"a", "b", "c"};
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    nodes[i]->hub.attach(
        {.channel = homes[2],
         .settings = settings,
         .member = {clients[i], i == 2 ? "other" : "same", "", ""},
         .sink = [&listeners, i]() -> Sink* { return &listeners[i]; },
         .take = [&listeners, i](
                     std::unique_ptr<Subscription> subscription,
                     const Attached&) { listeners[i].subscription = std::move(subscription); }},
        now);
  }
  turn();
  PresenceStats stats;
  nodes[1]->hub.presence_stats(
      {.channel = homes[2], .done = [&](Result<PresenceStats> got) { stats = *got; }}, now);
  turn();
  EXPECT_EQ(stats.clients, 3U);
  EXPECT_EQ(stats.users, 2U);
}

}  // namespace
}  // namespace trunkline::hub
