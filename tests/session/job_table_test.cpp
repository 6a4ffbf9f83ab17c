// SPDX-License-Identifier: Apache-2.0
#include "session/job_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace trunkline::session {
namespace {

using namespace std::chrono_literals;

// Writes down what the table lets happen.
struct Recorder final : JobWorld {
  std::string make_id(const Caller& /*owner*/) override { return std::to_string(++last_id); }

  void run(const std::string& id, const RpcQuestion& question) override {
    running.push_back(id);
    started.push_back(question.method);
  }

  void stop(const std::string& id) override { stopped.push_back(id); }

  void publish(const std::string& id, std::string data) override {
    published.emplace_back(id, std::move(data));
  }

  // What one job has told since the last call.
  std::vector<std::string> take(const std::string& id) {
    std::vector<std::string> told;
    std::erase_if(published, [&](const auto& entry) {
      if (entry.first == id) {
        told.push_back(entry.second);
      }
      return entry.first == id;
    });
    return told;
  }

  int last_id = 0;
  std::vector<std::string> running;
  std::vector<std::string> started;
  std::vector<std::string> stopped;
  std::vector<std::pair<std::string, std::string>> published;
};

const std::vector<std::string> kCancelled = {R"({"error":{"code":120,"message":"cancelled"}})"};

class JobTableTest : public ::testing::Test {
 protected:
  static Caller caller(std::string client, std::string user = "u") {
    return {.client = std::move(client), .user = std::move(user), .info = {}};
  }

  std::expected<std::string, Refusal> ask(const Caller& who, std::string method = "rescan") {
    return table.start({.caller = who, .method = std::move(method), .data = "{}"}, now);
  }

  std::string start(const Caller& who, std::string method = "rescan") {
    return ask(who, std::move(method)).value();
  }

  void pass(Duration duration) {
    now.monotonic += duration;
    timers.advance(now.monotonic);
  }

  void finish(const std::string& id, std::string result = "1") {
    table.finished(id, std::move(result), now);
  }

  JobOptions options{.per_client_max = 1, .per_user_max = 3, .total_max = 5};
  Recorder world;
  Now now{TimePoint(1h), WallTime(1h)};
  TimerWheel timers{TimePoint(1h)};
  JobTable table{options, world, timers};
};

TEST_F(JobTableTest, TellsProgressAndOneResult) {
  const std::string id = start(caller("c"));
  EXPECT_EQ(id, "1");
  EXPECT_EQ(world.running, std::vector{id});
  table.progress(id, "10", now.monotonic);
  pass(1s);
  table.progress(id, "20", now.monotonic);
  finish(id, R"({"found":3})");
  EXPECT_EQ(world.take(id), (std::vector<std::string>{R"({"progress":10})", R"({"progress":20})",
                                                      R"({"result":{"found":3}})"}));
  // It is over: what comes now goes nowhere.
  table.progress(id, "30", now.monotonic);
  finish(id);
  EXPECT_FALSE(table.cancel(id, caller("c"), now));
  pass(1s);
  EXPECT_TRUE(world.take(id).empty());
  EXPECT_EQ(table.counts().running, 0U);
}

TEST_F(JobTableTest, AnErrorIsAnEndToo) {
  const std::string id = start(caller("c"));
  table.finished(id, std::unexpected(Refusal{1000, "no \"such\" block"}), now);
  EXPECT_EQ(world.take(id),
            std::vector<std::string>{R"({"error":{"code":1000,"message":"no \"such\" block"}})"});
  const std::string second = start(caller("c"));
  finish(second, "");
  EXPECT_EQ(world.take(second), std::vector<std::string>{R"({"result":null})"});
}

TEST_F(JobTableTest, AFloodOfProgressIsThinnedAndTheLastIsTold) {
  options.progress = {.count = 2, .interval = 1s};
  const std::string id = start(caller("c"));
  for (int i = 0; i < 10'000; ++i) {
    table.progress(id, std::to_string(i), now.monotonic);
  }
  EXPECT_EQ(world.take(id).size(), 2U) << "as many as may come at once";
  pass(1s);
  EXPECT_EQ(world.take(id), std::vector<std::string>{R"({"progress":9999})"});
  for (int second = 0; second < 10; ++second) {
    for (int i = 0; i < 100; ++i) {
      pass(10ms);
      table.progress(id, std::to_string(i), now.monotonic);
    }
  }
  EXPECT_LE(world.take(id).size(), 22U);
  table.progress(id, "77", now.monotonic);
  table.progress(id, "78", now.monotonic);
  finish(id);
  const auto told = world.take(id);
  ASSERT_GE(told.size(), 2U);
  EXPECT_EQ(told[told.size() - 2], R"({"progress":78})") << "before the result";
}

TEST_F(JobTableTest, LimitsAreByConnectionByUserAndInTotal) {
  start(caller("c1"));
  const auto second = ask(caller("c1"));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, 106U);
  EXPECT_TRUE(second.error().message.contains("jobs of a connection")) << second.error().message;
  start(caller("c2"));
  start(caller("c3"));
  const auto fourth = ask(caller("c4"));
  ASSERT_FALSE(fourth.has_value());
  EXPECT_TRUE(fourth.error().message.contains("jobs of a user")) << fourth.error().message;
  start(caller("d1", "other"));
  start(caller("e1", ""));
  const auto sixth = ask(caller("f1", "third"));
  ASSERT_FALSE(sixth.has_value());
  EXPECT_TRUE(sixth.error().message.contains("jobs of the server")) << sixth.error().message;
  EXPECT_EQ(table.counts().running, 5U);
  finish(world.running[0]);
  EXPECT_TRUE(ask(caller("f1", "third")).has_value());
}

TEST_F(JobTableTest, WaitInOrderWhereThatIsAllowed) {
  options.queued_max = 3;
  const std::string first = start(caller("c1"), "a");
  start(caller("c1"), "b");
  const std::string third = start(caller("c1"), "c");
  // Nobody waits for somebody else's connection.
  start(caller("c2"), "other");
  EXPECT_EQ(world.started, (std::vector<std::string>{"a", "other"}));
  EXPECT_EQ(table.counts().queued, 2U);
  start(caller("c1"), "d");
  EXPECT_FALSE(ask(caller("c1"), "e").has_value());
  EXPECT_TRUE(table.cancel(third, caller("elsewhere"), now));
  EXPECT_EQ(world.take(third), kCancelled);
  EXPECT_TRUE(world.stopped.empty()) << "its handler was never begun";
  finish(first);
  EXPECT_EQ(world.started, (std::vector<std::string>{"a", "other", "b"}));
  finish(world.running.back());
  EXPECT_EQ(world.started, (std::vector<std::string>{"a", "other", "b", "d"}));
}

TEST_F(JobTableTest, ACancelIsToldAtOnceAndCountsUntilTheHandlerHasReturned) {
  const std::string id = start(caller("c"));
  table.progress(id, "1", now.monotonic);
  EXPECT_FALSE(table.cancel(id, caller("c", "stranger"), now));
  EXPECT_TRUE(table.cancel(id, caller("from another device"), now));
  EXPECT_EQ(world.take(id), (std::vector<std::string>{R"({"progress":1})", kCancelled[0]}));
  EXPECT_EQ(world.stopped, std::vector{id});
  EXPECT_FALSE(table.cancel(id, caller("c"), now)) << "once";
  EXPECT_FALSE(ask(caller("c")).has_value()) << "its handler still runs";
  pass(options.age_max + 1s);
  table.progress(id, "2", now.monotonic);
  finish(id);
  EXPECT_TRUE(world.take(id).empty()) << "its end has been told";
  EXPECT_TRUE(ask(caller("c")).has_value());
}

TEST_F(JobTableTest, IsCancelledWhenNobodyHasWatchedForTheGrace) {
  const std::string id = start(caller("c"));
  table.unwatched(id, now.monotonic);
  pass(29s);
  table.watched(id, now.monotonic);  // it came back
  pass(10min);
  EXPECT_TRUE(world.stopped.empty());
  table.watched(id, now.monotonic);  // a second device
  table.unwatched(id, now.monotonic);
  pass(10min);
  EXPECT_TRUE(world.stopped.empty());
  table.unwatched(id, now.monotonic);
  pass(31s);
  EXPECT_EQ(world.stopped, std::vector{id});
  EXPECT_EQ(world.take(id).size(), 1U);
}

TEST_F(JobTableTest, WithoutGraceItIsCancelledAtOnce) {
  options.grace = 0s;
  const std::string id = start(caller("c"));
  table.unwatched(id, now.monotonic);
  EXPECT_EQ(world.stopped, std::vector{id});
}

TEST_F(JobTableTest, IsEndedAtItsMaximumAge) {
  const std::string id = start(caller("c"));
  pass(options.age_max - 1s);
  EXPECT_TRUE(world.stopped.empty());
  pass(2s);
  EXPECT_EQ(world.stopped, std::vector{id});
  EXPECT_EQ(world.take(id),
            std::vector<std::string>{R"({"error":{"code":120,"message":"it took too long"}})"});
}

TEST_F(JobTableTest, IsForgottenWithItsResult) {
  const std::string id = start(caller("c"));
  EXPECT_TRUE(table.knows(id));
  EXPECT_FALSE(table.knows("nonsense"));
  finish(id);
  EXPECT_TRUE(table.knows(id)) << "its result can still be read";
  pass(options.keep + 1s);
  EXPECT_FALSE(table.knows(id));
}

TEST_F(JobTableTest, ListsOnesOwn) {
  options.queued_max = 1;
  const std::string first = start(caller("c1"), "a");
  const std::string second = start(caller("c2"), "b");
  const std::string third = start(caller("c1"), "c");
  start(caller("d", "other"), "d");
  table.cancel(second, caller("c1"), now);
  const auto list = table.list(caller("from anywhere"));
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].id, first);
  EXPECT_EQ(list[0].method, "a");
  EXPECT_EQ(list[0].state, JobState::kRunning);
  EXPECT_EQ(list[1].state, JobState::kStopping);
  EXPECT_EQ(list[2].id, third);
  EXPECT_EQ(list[2].state, JobState::kQueued);
  finish(second);
  EXPECT_EQ(table.list(caller("from anywhere")).size(), 2U);
  // Without a user, those of the connection.
  start(caller("x", ""), "e");
  EXPECT_EQ(table.list(caller("x", "")).size(), 1U);
  EXPECT_TRUE(table.list(caller("y", "")).empty());
}

TEST_F(JobTableTest, AStopEndsAllAndStartsNone) {
  options.queued_max = 2;
  const std::string running = start(caller("c1"));
  const std::string waiting = start(caller("c1"));
  table.stop(now);
  EXPECT_EQ(world.stopped, std::vector{running});
  EXPECT_EQ(world.take(running).size(), 1U);
  EXPECT_EQ(world.take(waiting).size(), 1U);
  finish(running);
  EXPECT_EQ(world.running, std::vector{running}) << "nothing that waited was begun";
  EXPECT_FALSE(ask(caller("c9", "v")).has_value());
  EXPECT_EQ(table.counts().running, 0U);
  EXPECT_EQ(table.counts().queued, 0U);
}

}  // namespace
}  // namespace trunkline::session
