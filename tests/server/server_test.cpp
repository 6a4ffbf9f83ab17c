// SPDX-License-Identifier: Apache-2.0
//
// A whole server in the process, over loopback, with several shards: what crosses threads. Also the
// suite that ThreadSanitizer watches.
#include <trunkline/client.h>
#include <trunkline/server.h>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace trunkline {
namespace {

using namespace std::chrono_literals;

// Counts up, and lets a test wait for a number.
class Counter {
 public:
  void add() {
    const std::lock_guard lock(mutex_);
    ++value_;
    changed_.notify_all();
  }

  [[nodiscard]] bool reaches(std::size_t wanted, std::chrono::seconds timeout = 60s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return value_ >= wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t value_ = 0;
};

// With io_uring (where the kernel grants one) and without.
class ServerTest : public ::testing::TestWithParam<bool> {
 protected:
  void start(unsigned shards = 3) {
    ServerOptions options;
    options.demo = config_json.empty();
    options.config_json = config_json;
    options.port = 0;
    options.shards = shards;
    options.io_uring = GetParam();
    auto made = Server::create(std::move(options));
    ASSERT_TRUE(made.has_value()) << to_string(made.error());
    server = std::move(*made);
    if (prepare) {
      prepare(server->hub());
    }
    const auto started = server->start();
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
    ASSERT_TRUE(loop.start().has_value());
  }

  std::unique_ptr<Client> client(ClientHandlers handlers = {}) {
    ClientOptions options;
    options.url = "ws://127.0.0.1:" + std::to_string(server->port()) + "/connection/websocket";
    auto made = std::make_unique<Client>(loop, options, std::move(handlers));
    made->connect();
    return made;
  }

  void TearDown() override { loop.stop(); }

  std::function<void(Hub&)> prepare;
  std::string config_json;  // empty: the demo
  std::unique_ptr<Server> server;
  ClientLoop loop;
};

TEST_P(ServerTest, EverySubscriberOfEveryShardGetsEverythingInOrder) {
  start();
  constexpr std::size_t kSubscribers = 12;
  constexpr std::uint64_t kPublications = 300;
  Counter subscribed;
  Counter received;
  std::atomic<int> defects{0};
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kSubscribers; ++i) {
    clients.push_back(client());
    SubscriptionHandlers handlers;
    handlers.on_subscribed = [&](const SubscribedContext&) { subscribed.add(); };
    handlers.on_publication = [&, last = std::uint64_t{0}](const Publication& publication) mutable {
      defects += publication.offset.value == ++last ? 0 : 1;
      received.add();
    };
    handlers.on_error = [&](const ClientError&) { ++defects; };
    clients.back()->subscribe("room", {}, std::move(handlers));
  }
  ASSERT_TRUE(subscribed.reaches(kSubscribers));
  // From clients and from inside the process at once, to one channel.
  const auto publisher = client();
  for (std::uint64_t i = 0; i < kPublications / 2; ++i) {
    publisher->publish("room", std::to_string(i), [&](const ClientResult<void>& done) {
      defects += done.has_value() ? 0 : 1;
    });
    server->hub().publish("room", std::to_string(i));
  }
  EXPECT_TRUE(received.reaches(kSubscribers * kPublications));
  EXPECT_EQ(defects, 0);
  loop.stop();
  clients.clear();
  server->stop();
}

TEST_P(ServerTest, ManyChannelsAndHomesAtOnce) {
  start();
  constexpr std::size_t kChannels = 30;
  Counter subscribed;
  Counter received;
  const auto subscriber = client();
  for (std::size_t i = 0; i < kChannels; ++i) {
    SubscriptionHandlers handlers;
    handlers.on_subscribed = [&](const SubscribedContext&) { subscribed.add(); };
    handlers.on_publication = [&](const Publication&) { received.add(); };
    subscriber->subscribe("channel-" + std::to_string(i), {}, std::move(handlers));
  }
  ASSERT_TRUE(subscribed.reaches(kChannels));
  for (std::size_t i = 0; i < kChannels; ++i) {
    server->hub().publish("channel-" + std::to_string(i), "1");
  }
  EXPECT_TRUE(received.reaches(kChannels));
  Counter answered;
  PresenceStats counts;
  subscriber->presence_stats("channel-7", [&](const ClientResult<PresenceStats>& stats) {
    counts = stats.value_or(PresenceStats{});
    answered.add();
  });
  ASSERT_TRUE(answered.reaches(1));
  EXPECT_EQ(counts.clients, 1U);
  loop.stop();
}

TEST_P(ServerTest, SnapshotIsFollowedByExactlyWhatCameAfterIt) {
  std::mutex mutex;
  std::int64_t sum = 0;
  std::optional<Position> position;
  prepare = [&](Hub& hub) {
    hub.on_snapshot("sum", [&](const SnapshotRequest&, SnapshotDone done) {
      const std::lock_guard lock(mutex);
      done(Snapshot{std::to_string(sum), position});
    });
  };
  start();
  Counter applied;
  std::jthread editor([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      Counter acknowledged;
      server->hub().publish("sum", "1", {}, [&](const Result<Position>& at) {
        const std::lock_guard lock(mutex);
        ++sum;
        position = *at;
        acknowledged.add();
      });
      if (!acknowledged.reaches(1)) {
        break;
      }
      applied.add();
    }
  });
  ASSERT_TRUE(applied.reaches(10));
  for (int round = 0; round < 20; ++round) {
    Counter seen;
    std::int64_t copy = -1;
    std::atomic<int> wrong{0};
    HubSubscription subscription = server->hub().subscribe(
        "sum", {},
        {.on_start =
             [&](const SubscriptionStart& start) {
               copy = std::stoll(std::string(start.data));
               // Every publication adds one: the sum is the offset.
               wrong += copy == static_cast<std::int64_t>(start.position.offset.value) ? 0 : 1;
             },
         .on_publication =
             [&](const HubPublication& publication) {
               wrong += ++copy == static_cast<std::int64_t>(publication.offset.value) ? 0 : 1;
               seen.add();
             },
         .on_end = [&](const Error&) { ++wrong; }});
    EXPECT_TRUE(seen.reaches(5));
    subscription.end();
    EXPECT_EQ(wrong, 0);
  }
  editor.request_stop();
  editor.join();
  server->stop();
}

TEST_P(ServerTest, SnapshotThatFailsEndsOnlyItsOwnSubscription) {
  prepare = [](Hub& hub) {
    hub.on_snapshot("bad", [](const SnapshotRequest&, const SnapshotDone&) {
      throw std::runtime_error("no database");
    });
  };
  start();
  Counter ended;
  const HubSubscription bad = server->hub().subscribe(
      "bad", {},
      {.on_start = {}, .on_publication = {}, .on_end = [&](const Error&) { ended.add(); }});
  EXPECT_TRUE(ended.reaches(1));
  Counter started;
  const HubSubscription good =
      server->hub().subscribe("good", {},
                              {.on_start = [&](const SubscriptionStart&) { started.add(); },
                               .on_publication = {},
                               .on_end = {}});
  EXPECT_TRUE(started.reaches(1));
  server->stop();
}

TEST_P(ServerTest, StopsUnderLoadAndTellsEverybody) {
  start();
  Counter connected;
  Counter acknowledged;
  Counter lost;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) {
    ClientOptions options;
    options.url = "ws://127.0.0.1:" + std::to_string(server->port()) + "/connection/websocket";
    ClientHandlers handlers;
    handlers.on_connected = [&](std::string_view, std::string_view) { connected.add(); };
    handlers.on_connecting = [&](std::uint32_t code, std::string_view) {
      if (code == 3001) {
        lost.add();
      }
    };
    clients.push_back(std::make_unique<Client>(loop, options, std::move(handlers)));
    clients.back()->connect();
    clients.back()->subscribe("load", {}, {});
    for (int n = 0; n < 50; ++n) {
      clients.back()->publish("load", "1", [&](const ClientResult<void>&) { acknowledged.add(); });
    }
  }
  // Whoever is still shaking hands is not told anything.
  ASSERT_TRUE(connected.reaches(10));
  ASSERT_TRUE(acknowledged.reaches(100));
  server->stop(10s);
  EXPECT_TRUE(lost.reaches(10));
  loop.stop();
}

// — limits: counted on one shard, asked for by all —

TEST_P(ServerTest, TheConnectionLimitHoldsOverAllShards) {
  config_json = R"({"client": {"insecure": true, "connection_limit": 5}})";
  start();
  std::atomic<int> inside{0};
  Counter arrived;
  Counter refused;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 12; ++i) {
    ClientHandlers handlers;
    handlers.on_connected = [&](std::string_view, std::string_view) {
      ++inside;
      arrived.add();
    };
    handlers.on_error = [&](const ClientError&) { refused.add(); };
    clients.push_back(client(std::move(handlers)));
  }
  EXPECT_TRUE(arrived.reaches(5));
  // Each of the others has knocked at least once.
  EXPECT_TRUE(refused.reaches(7));
  EXPECT_EQ(inside, 5);
  loop.stop();
  clients.clear();
  server->stop();
}

TEST_P(ServerTest, AStormIsLetInAtItsRateAndAllGetInAtLast) {
  config_json = R"({"client": {"insecure": true, "connection_rate_limit": 20},
                    "trunkline": {"handshake_wait_max": "60s"}})";
  start();
  Counter arrived;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 50; ++i) {
    ClientHandlers handlers;
    handlers.on_connected = [&](std::string_view, std::string_view) { arrived.add(); };
    clients.push_back(client(std::move(handlers)));
  }
  EXPECT_TRUE(arrived.reaches(50));
  loop.stop();
  clients.clear();
  server->stop();
}

TEST_P(ServerTest, AStopDoesNotWaitForHandshakesThatWait) {
  config_json = R"({"client": {"insecure": true, "connection_rate_limit": 1},
                    "trunkline": {"handshake_wait_max": "1h"}})";
  start();
  Counter arrived;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 30; ++i) {
    ClientHandlers handlers;
    handlers.on_connected = [&](std::string_view, std::string_view) { arrived.add(); };
    clients.push_back(client(std::move(handlers)));
  }
  EXPECT_TRUE(arrived.reaches(2));
  // Longer than the test may take: a stop that waited would be seen.
  server->stop(10min);
  loop.stop();
}

TEST_P(ServerTest, AHubWithoutADoorDelivers) {
  ServerOptions options;
  options.demo = true;
  options.listen = false;
  auto made = Server::create(std::move(options));
  ASSERT_TRUE(made.has_value());
  ASSERT_TRUE((*made)->start().has_value());
  Counter received;
  const HubSubscription subscription =
      (*made)->hub().subscribe("inside", {.since = Position{}, .snapshot = {}},
                               {.on_start = {},
                                .on_publication = [&](const HubPublication&) { received.add(); },
                                .on_end = {}});
  (*made)->hub().publish("inside", R"({"n":1})");
  EXPECT_TRUE(received.reaches(1));
}

TEST_P(ServerTest, PublishingAfterTheStopIsAnError) {
  start(1);
  server->stop();
  Counter answered;
  ErrorCode code = ErrorCode::kInternal;
  server->hub().publish("late", "1", {}, [&](const Result<Position>& result) {
    code = result.has_value() ? ErrorCode::kInternal : result.error().code;
    answered.add();
  });
  EXPECT_TRUE(answered.reaches(1));
  EXPECT_EQ(code, ErrorCode::kClosed);
}

INSTANTIATE_TEST_SUITE_P(Ways, ServerTest, ::testing::Values(true, false),
                         [](const auto& tested) { return tested.param ? "Ring" : "Direct"; });

TEST(ServerOptions, DemoRefusesToListenBeyondLoopback) {
  ServerOptions options;
  options.demo = true;
  options.address = "0.0.0.0";
  const auto server = Server::create(std::move(options));
  ASSERT_FALSE(server.has_value());
  EXPECT_EQ(server.error().code, ErrorCode::kConfig);
}

}  // namespace
}  // namespace trunkline
