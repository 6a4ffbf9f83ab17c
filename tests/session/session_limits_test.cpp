// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"
#include "session_fixture.h"

#include <algorithm>

namespace trunkline::session {
namespace {

using std::chrono::seconds;

class SessionLimitsTest : public SessionTest {
 protected:
  std::string subscribe(Peer& peer, const std::string& channel) {
    return ask(peer, R"({"id":2,"subscribe":{"channel":")" + channel + R"("}})");
  }
};

TEST_F(SessionLimitsTest, ChannelsAClientAreBounded) {
  options.client.channel_limit = 2;
  Peer& peer = join();
  subscribe(peer, "a");
  subscribe(peer, "b");
  EXPECT_EQ(subscribe(peer, "c"), R"({"id":2,"error":{"code":106,"message":"limit exceeded"}})");
  EXPECT_EQ(subscribe(peer, "a"),
            R"({"id":2,"error":{"code":105,"message":"already subscribed"}})");
  ask(peer, R"({"id":3,"unsubscribe":{"channel":"a"}})");
  EXPECT_EQ(subscribe(peer, "c"), R"({"id":2,"subscribe":{}})");
}

TEST_F(SessionLimitsTest, ChannelNamesAreBoundedAndPrintable) {
  Peer& peer = join();
  const std::string bad = R"({"id":2,"error":{"code":107,"message":"bad request"}})";
  EXPECT_EQ(subscribe(peer, std::string(255, 'x')), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(subscribe(peer, std::string(256, 'x')), bad);
  EXPECT_EQ(subscribe(peer, "\\u0001"), bad);
  EXPECT_EQ(subscribe(peer, "é"), bad);
  EXPECT_EQ(subscribe(peer, "\\u007f"), bad);
  EXPECT_EQ(peer.close_code, 0);
}

// — connections of a user, counted by somebody whose answer waits for the test —

class UserLimitTest : public SessionLimitsTest {
 protected:
  struct Users final : UserLimiter {
    void acquire(const std::string& user, std::size_t limit,
                 std::move_only_function<void(bool)> done) override {
      const bool counted = counts[user] < limit;
      counts[user] += counted ? 1 : 0;
      waiting.emplace_back([counted, done = std::move(done)]() mutable { done(counted); });
    }

    void release(const std::string& user) override { --counts[user]; }

    void answer() {
      for (auto& next : std::exchange(waiting, {})) {
        next();
      }
    }

    std::map<std::string, std::size_t> counts;
    std::vector<std::move_only_function<void()>> waiting;
  };

  UserLimitTest() {
    tokens.connections["t"] = {.user = "u", .info = {}, .expire_at = {}};
    options.client.user_connection_limit = 1;
    environment.users = &users;
  }

  ~UserLimitTest() override { peers.clear(); }

  Peer& ask_to_connect() {
    Peer& peer = open();
    ask(peer, R"({"id":1,"connect":{"token":"t"}})");
    return peer;
  }

  Users users;
};

TEST_F(UserLimitTest, OneMoreThanTheLimitIsClosed) {
  Peer& first = ask_to_connect();
  Peer& second = ask_to_connect();
  users.answer();
  turn();
  EXPECT_TRUE(first.take().starts_with(R"({"id":1,"connect":{)"));
  EXPECT_EQ(second.close_code, 3504);
  peers.erase(peers.begin());
  EXPECT_EQ(users.counts["u"], 0U);
  Peer& third = ask_to_connect();
  users.answer();
  turn();
  EXPECT_TRUE(third.take().starts_with(R"({"id":1,"connect":{)"));
}

TEST_F(UserLimitTest, CommandsThatFollowTheConnectWaitForTheAnswer) {
  Peer& peer = ask_to_connect();
  EXPECT_TRUE(peer.session->is_paused());
  ask(peer, R"({"id":2,"subscribe":{"channel":"a"}})");
  EXPECT_EQ(peer.take(), "");
  users.answer();
  turn();
  const std::string got = peer.take();
  EXPECT_TRUE(got.starts_with(R"({"id":1,"connect":{)")) << got;
  EXPECT_TRUE(got.ends_with(R"({"id":2,"subscribe":{}})")) << got;
}

TEST_F(UserLimitTest, AnAnswerForASessionThatHasGoneIsGivenBack) {
  ask_to_connect();
  peers.clear();
  EXPECT_EQ(users.counts["u"], 1U);
  users.answer();
  EXPECT_EQ(users.counts["u"], 0U);
}

TEST_F(UserLimitTest, ASessionThatEndsBeforeTheAnswerIsNotCounted) {
  Peer& peer = ask_to_connect();
  pass(seconds(10));
  EXPECT_EQ(peer.close_code, 3502);
  users.answer();
  EXPECT_EQ(users.counts["u"], 0U);
}

TEST_F(UserLimitTest, AnonymousUsersAreNotCounted) {
  join();
  join();
  EXPECT_TRUE(users.counts.empty());
}

// — commands and errors —

TEST_F(SessionLimitsTest, CommandsAboveTheRateAreRefusedAndTakeNothing) {
  options.client.command_rates = {{.count = 2, .interval = seconds(2)}};
  Peer& peer = join();
  const std::string too_many =
      R"({"id":2,"error":{"code":111,"message":"too many requests","temporary":true}})";
  EXPECT_EQ(subscribe(peer, "a"), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(subscribe(peer, "b"), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(subscribe(peer, "c"), too_many);
  EXPECT_EQ(subscribe(peer, "c"), too_many);
  EXPECT_EQ(environment.stats.refused_commands, 2U);
  pass(seconds(1));
  EXPECT_EQ(subscribe(peer, "c"), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(subscribe(peer, "d"), too_many);
  EXPECT_EQ(peer.close_code, 0);
}

TEST_F(SessionLimitsTest, EveryBucketHasToAllowACommand) {
  options.client.command_rates = {{.count = 10, .interval = seconds(1)},
                                  {.count = 3, .interval = std::chrono::hours(1)}};
  Peer& peer = join();
  for (const char* channel : {"a", "b", "c"}) {
    EXPECT_EQ(subscribe(peer, channel), R"({"id":2,"subscribe":{}})");
  }
  EXPECT_TRUE(subscribe(peer, "d").contains("111"));
}

TEST_F(SessionLimitsTest, AnUnsubscribeIsCountedAndNeverRefused) {
  options.client.command_rates = {{.count = 2, .interval = std::chrono::hours(1)}};
  Peer& peer = join();
  subscribe(peer, "a");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask(peer, R"({"id":3,"unsubscribe":{"channel":"a"}})"),
              R"({"id":3,"unsubscribe":{}})");
  }
  EXPECT_TRUE(subscribe(peer, "a").contains("111"));
}

TEST_F(SessionLimitsTest, PongsAreNoCommands) {
  options.client.command_rates = {{.count = 1, .interval = std::chrono::hours(1)}};
  Peer& peer = join();
  for (int i = 0; i < 4; ++i) {
    pass(seconds(25));
    EXPECT_EQ(ask(peer, "{}"), "{}");
  }
  EXPECT_EQ(subscribe(peer, "a"), R"({"id":2,"subscribe":{}})");
}

TEST_F(SessionLimitsTest, EachClientHasARateOfItsOwn) {
  options.client.command_rates = {{.count = 1, .interval = std::chrono::hours(1)}};
  Peer& first = join();
  Peer& second = join();
  EXPECT_EQ(subscribe(first, "a"), R"({"id":2,"subscribe":{}})");
  EXPECT_EQ(subscribe(second, "a"), R"({"id":2,"subscribe":{}})");
}

TEST_F(SessionLimitsTest, TooManyErrorsEndTheConnectionBehindTheLastOfThem) {
  options.client.error_rates = {{.count = 3, .interval = std::chrono::hours(1)}};
  Peer& peer = join();
  std::string commands;
  for (int i = 2; i <= 5; ++i) {
    commands += fmt::format("{}{{\"id\":{},\"rpc\":{{}}}}", i > 2 ? "\n" : "", i);
  }
  const std::string got = ask(peer, commands);
  EXPECT_TRUE(got.contains(R"("id":5,"error")")) << got;
  EXPECT_EQ(peer.close_code, 0);
  pass(std::chrono::milliseconds(10));
  EXPECT_EQ(peer.close_code, 3509);
  EXPECT_EQ(peer.reason, "too many errors");
}

TEST_F(SessionLimitsTest, ALineForTheLogIsWrittenOnceAnInterval) {
  std::vector<std::string> lines;
  environment.log = [&lines](std::string_view line) { lines.emplace_back(line); };
  options.client.channel_limit = 1;
  Peer& peer = join();
  subscribe(peer, "a");
  for (int i = 0; i < 100; ++i) {
    subscribe(peer, "b");
  }
  pass(LogThrottle::kInterval);
  subscribe(peer, "b");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(lines[0].ends_with("wants more channels (106) than client.channel_limit"));
  EXPECT_TRUE(lines[1].ends_with("(99 more since the last line)")) << lines[1];
}

// — memory —

TEST_F(SessionLimitsTest, WithoutMemoryNothingBeginsAndWhatIsThereGoesOn) {
  Peer& peer = join();
  subscribe(peer, "a");
  publish("a", "1");
  turn();
  peer.take();
  hub.refuse_growth(true);
  const std::string refused =
      R"("error":{"code":100,"message":"the server is short of memory","temporary":true}})";
  EXPECT_EQ(subscribe(peer, "b"), R"({"id":2,)" + refused);
  EXPECT_EQ(ask(peer, R"({"id":3,"publish":{"channel":"a","data":2}})"), R"({"id":3,)" + refused);
  EXPECT_EQ(ask(peer, R"({"id":4,"unsubscribe":{"channel":"a"}})"), R"({"id":4,"unsubscribe":{}})");
  EXPECT_EQ(peer.close_code, 0);
  hub.refuse_growth(false);
  EXPECT_EQ(subscribe(peer, "b"), R"({"id":2,"subscribe":{}})");
}

TEST_F(SessionLimitsTest, PausesAboveTheHighWaterMarkAndGoesOnInOrderBelowIt) {
  Peer& peer = join();
  peer.limits.high_water_bytes = 1000;
  std::string commands;
  std::string expected;
  // The first ones fill a batch, so that the outbox is above its mark in the middle of the message.
  for (int i = 2; i < 3000; ++i) {
    commands += fmt::format("{{\"id\":{},\"rpc\":{{}}}}\n", i);
    expected +=
        fmt::format("{}{{\"id\":{},\"error\":{{\"code\":108,\"message\":\"not available\"}}}}",
                    i > 2 ? "\n" : "", i);
  }
  peer.send(commands);
  EXPECT_TRUE(peer.session->is_paused());
  peer.send(R"({"id":3000,"unsubscribe":{"channel":"x"}})");
  turn();
  turn();
  turn();
  EXPECT_FALSE(peer.session->is_paused());
  EXPECT_EQ(peer.take(), expected +
                             "\n"
                             R"({"id":3000,"unsubscribe":{}})");
}

TEST_F(SessionLimitsTest, AnEventThatDoesNotFitEndsTheConnectionAsSlow) {
  Peer& peer = join();
  subscribe(peer, "a");
  peer.limits.high_water_bytes = 100;
  stalled[&peer] = true;
  publish("a", "\"" + std::string(90, 'x') + "\"", false);
  publish("a", "2", false);
  publish("a", "3", false);
  EXPECT_EQ(peer.close_code, 0);
  pass(std::chrono::milliseconds(10));
  EXPECT_EQ(peer.close_code, 3008);
}

// The end was armed on the session's one timer, which whatever came next armed for another time.
TEST_F(SessionLimitsTest, NothingThatFollowsPutsOffTheEndOfASlowOne) {
  Peer& peer = join();
  subscribe(peer, "a");
  peer.limits.high_water_bytes = 100;
  stalled[&peer] = true;
  pass(seconds(25));
  publish("a", "\"" + std::string(90, 'x') + "\"", false);
  publish("a", "2", false);
  peer.send("{}");
  pass(std::chrono::milliseconds(10));
  EXPECT_EQ(peer.close_code, 3008);
}

// — one large answer at a time: answered by another shard, which here waits for the test —

class RemoteHomeTest : public ::testing::Test {
 protected:
  struct Post final : hub::Mail {
    void post(hub::ShardId to, hub::Message message) override {
      mail.emplace_back(to, std::move(message));
    }

    std::deque<std::pair<hub::ShardId, hub::Message>> mail;
  };

  RemoteHomeTest() {
    options.client.insecure = true;
    options.channel.without_namespace.presence = true;
    options.channel.without_namespace.history_size = 10;
    options.channel.without_namespace.history_ttl = seconds(60);
    for (int i = 0; away.empty(); ++i) {
      const std::string name = "c" + std::to_string(i);
      if (near.home_of(name) == 1) {
        away = name;
      }
    }
    peer.send(R"({"id":1,"connect":{}})");
    drain();
    peer.take();
  }

  void drain() {
    near.announce();
    far.announce();
    peer.flush(environment.now.monotonic);
    near.settle(environment.now.monotonic);
    far.settle(environment.now.monotonic);
  }

  void deliver() {
    while (!post.mail.empty()) {
      auto [to, message] = std::move(post.mail.front());
      post.mail.pop_front();
      (to == 0 ? near : far).handle(std::move(message), environment.now.monotonic);
    }
    drain();
  }

  void command(const std::string& text) {
    std::string copy = text;
    copy.replace(copy.find('@'), 1, away);
    peer.send(copy);
    drain();
  }

  Options options;
  TokenTable tokens;
  TimerWheel timers{TimePoint{}};
  Random random{1};
  replay::MemoryEngine near_engine{{}, timers, random};
  replay::MemoryEngine far_engine{{}, timers, random};
  JsonCodec codec;
  Post post;
  hub::HubShard near{0, 2, near_engine, codec, post, timers};
  hub::HubShard far{1, 2, far_engine, codec, post, timers};
  Environment environment{.options = options,
                          .authenticator = tokens,
                          .hub = near,
                          .timers = timers,
                          .random = random,
                          .now = {TimePoint{}, WallTime{std::chrono::hours(500'000)}}};
  Peer peer{environment};
  std::string away;  // a channel whose home is the other shard
};

TEST_F(RemoteHomeTest, HistoryAndPresenceAreAnsweredOneAtATime) {
  for (const char* large : {"history", "presence"}) {
    command(fmt::format(R"({{"id":2,"{}":{{"channel":"@"}}}})", large));
    EXPECT_TRUE(peer.session->is_paused());
    peer.send(R"({"id":3,"rpc":{}})");
    drain();
    EXPECT_EQ(peer.take(), "");
    deliver();
    EXPECT_FALSE(peer.session->is_paused());
    const std::string got = peer.take();
    EXPECT_TRUE(got.starts_with(fmt::format(R"({{"id":2,"{}":{{)", large))) << got;
    EXPECT_TRUE(got.ends_with(R"({"id":3,"error":{"code":108,"message":"not available"}})"));
  }
}

TEST_F(RemoteHomeTest, CommandsInFlightAreBounded) {
  std::string commands;
  for (int i = 2; i < 402; ++i) {
    commands +=
        fmt::format("{{\"id\":{},\"publish\":{{\"channel\":\"{}\",\"data\":1}}}}\n", i, away);
  }
  peer.send(commands);
  EXPECT_TRUE(peer.session->is_paused());
  EXPECT_LT(post.mail.size(), 400U);
  deliver();
  deliver();
  EXPECT_FALSE(peer.session->is_paused());
  const std::string got = peer.take();
  EXPECT_EQ(std::ranges::count(got, '\n'), 399);
}

TEST_F(RemoteHomeTest, AnUnsubscribeWaitsForTheSubscribeThatIsUnderWay) {
  command(R"({"id":2,"subscribe":{"channel":"@"}})");
  command(R"({"id":3,"unsubscribe":{"channel":"@"}})");
  EXPECT_EQ(peer.take(), "");
  deliver();
  EXPECT_EQ(peer.take(), "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}");
  deliver();
  EXPECT_EQ(far.stats().home.channels, 0U);
}

TEST_F(RemoteHomeTest, SubscribingAgainBehindThatUnsubscribeSucceeds) {
  command(R"({"id":2,"subscribe":{"channel":"@"}})");
  command(R"({"id":3,"unsubscribe":{"channel":"@"}})");
  command(R"({"id":4,"subscribe":{"channel":"@"}})");
  deliver();
  deliver();
  EXPECT_EQ(
      peer.take(),
      "{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"unsubscribe\":{}}\n{\"id\":4,\"subscribe\":{}}");
}

TEST_F(RemoteHomeTest, AnAnswerForASessionThatHasGoneIsDropped) {
  command(R"({"id":2,"subscribe":{"channel":"@"}})");
  command(R"({"id":3,"history":{"channel":"@"}})");
  peer.session.reset();
  deliver();
  deliver();
  EXPECT_EQ(far.stats().home.channels, 0U);
  EXPECT_EQ(near.stats().feeds.subscriptions, 0U);
}

TEST_F(RemoteHomeTest, ADisconnectWhileSubscribingUndoesIt) {
  command(R"({"id":2,"subscribe":{"channel":"@"}})");
  peer.session->disconnect(kDisconnectForce);
  deliver();
  deliver();
  EXPECT_EQ(far.stats().home.channels, 0U);
  EXPECT_EQ(peer.take(), "");
}

}  // namespace
}  // namespace trunkline::session
