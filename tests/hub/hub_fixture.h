// SPDX-License-Identifier: Apache-2.0
//
// Three shards in one thread, with mail that the test delivers.
#pragma once

#include "core/random.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "replay/memory_engine.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::hub {

class PlainCodec final : public Codec {
 public:
  [[nodiscard]] replay::EncodedFrame publication_frame(const Publish& publish,
                                                       std::string_view /*epoch*/,
                                                       Offset /*offset*/) const override {
    const std::string& data = publish.publication.data;
    return {.bytes = "[" + data + "]",
            .body_begin = 1,
            .body_bytes = static_cast<std::uint32_t>(data.size())};
  }

  [[nodiscard]] std::string unlogged_frame(std::string_view /*channel*/,
                                           const NewPublication& publication) const override {
    return "(" + publication.data + ")";
  }

  [[nodiscard]] std::string join_frame(std::string_view /*channel*/,
                                       const ClientInfo& info) const override {
    return "+" + info.client;
  }

  [[nodiscard]] std::string leave_frame(std::string_view /*channel*/,
                                        const ClientInfo& info) const override {
    return "-" + info.client;
  }
};

// What came to one subscriber.
class Listener final : public Sink {
 public:
  void on_ready(Subscription& ready) override {
    if (stalled) {
      return;
    }
    while (true) {
      const std::string_view run = ready.peek(1 << 20);
      if (run.empty()) {
        return;
      }
      received += run;
      const auto taken = ready.taken(run.size());
      EXPECT_TRUE(taken.rest.empty());
    }
  }

  void on_event(Subscription& /*subscription*/, EventKind /*kind*/,
                const SharedFrame& frame) override {
    events += *frame;
  }

  void on_lost(Subscription& /*subscription*/) override { ++lost; }

  std::string received;
  std::string events;
  int lost = 0;
  bool stalled = false;
  std::unique_ptr<Subscription> subscription;
  Attached attached;
};

// Three shards; mail is delivered by hand, in order.
class HubTest : public ::testing::Test {
 protected:
  static constexpr ShardId kShards = 3;

  struct Node final : Mail {
    Node(HubTest& test, ShardId self)
        : fixture(test), hub(self, kShards, engine, fixture.codec, *this, timers) {}

    void post(ShardId to, Message message) override {
      fixture.mail.emplace_back(to, std::move(message));
    }

    HubTest& fixture;
    TimerWheel timers{TimePoint{}};
    Random random{7};
    replay::MemoryEngine engine{{}, timers, random};
    HubShard hub;
  };

  HubTest() {
    for (ShardId id = 0; id < kShards; ++id) {
      nodes.push_back(std::make_unique<Node>(*this, id));
    }
    // A channel for each home.
    for (int i = 0; homes.size() < kShards; ++i) {
      const std::string name = "channel" + std::to_string(i);
      homes.emplace(nodes[0]->hub.home_of(name), name);
    }
    settings.history = {.count_max = 10, .bytes_max = 0, .age_max = std::chrono::seconds(60)};
    settings.meta_ttl = std::chrono::hours(1);
  }

  void deliver_mail() {
    while (!mail.empty()) {
      auto [to, message] = std::move(mail.front());
      mail.pop_front();
      nodes[to]->hub.handle(std::move(message), now);
    }
  }

  void turn() {
    for (int i = 0; i < 4; ++i) {
      deliver_mail();
      for (const auto& node : nodes) {
        node->hub.announce();
        node->hub.settle(now);
      }
    }
  }

  void attach(ShardId shard, const std::string& channel, Listener& listener,
              const std::string& client = "c") {
    nodes[shard]->hub.attach(
        {.channel = channel,
         .settings = settings,
         .member = {client, "user-" + client, "", ""},
         .sink = [&listener]() -> Sink* { return &listener; },
         .take =
             [&listener, this](std::unique_ptr<Subscription> subscription, const Attached& where) {
               listener.subscription = std::move(subscription);
               listener.attached = where;
               listener.subscription->want_join_leave(settings.join_leave);
               listener.subscription->resume_at(where.top.offset.next());
             }},
        now);
  }

  void publish(ShardId shard, const std::string& channel, const std::string& data,
               bool logged = true, const std::string& key = "") {
    nodes[shard]->hub.publish(
        {.channel = channel,
         .settings = settings,
         .publication = {.data = data, .info = {}, .tags = {}},
         .logged = logged,
         .idempotency_key = key,
         .done =
             [this](Result<Position> position) { positions.push_back(position->offset.value); }},
        now);
  }

  [[nodiscard]] std::uint64_t subscriptions() const {
    std::uint64_t sum = 0;
    for (const auto& node : nodes) {
      sum += node->hub.stats().feeds.subscriptions;
    }
    return sum;
  }

  PlainCodec codec;
  std::deque<std::pair<ShardId, Message>> mail;
  std::vector<std::unique_ptr<Node>> nodes;
  std::map<ShardId, std::string> homes;
  ChannelSettings settings;
  TimePoint now;
  std::vector<std::uint64_t> positions;
};

}  // namespace trunkline::hub
