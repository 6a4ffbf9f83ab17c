// SPDX-License-Identifier: Apache-2.0
//
// Every order, up to a length, of what can happen to two jobs of one user: starts, progress,
// cancels, lost and new connections, ends of handlers, time, and the server's stop. After each
// event and at the end the same promises hold.
#include "session/job_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::session {
namespace {

using namespace std::chrono_literals;

constexpr int kLength = 6;

// What became of one job.
struct Told {
  bool queued_only = true;  // its handler was never begun
  bool handler = false;     // begun, and has not returned
  bool asked_to_stop = false;
  int ends = 0;
  std::string last_given;  // progress
  std::string last_told;   // publication
};

class World final : public JobWorld {
 public:
  std::string make_id(const Caller& /*owner*/) override {
    ids.push_back(std::to_string(ids.size() + 1));
    return ids.back();
  }

  void run(const std::string& id, const RpcQuestion& /*question*/) override {
    Told& job = jobs[id];
    EXPECT_TRUE(job.queued_only && job.ends == 0) << "begun once, and not after its end";
    EXPECT_FALSE(stopped) << "nothing begins in a server that stops";
    job.queued_only = false;
    job.handler = true;
  }

  void stop(const std::string& id) override {
    Told& job = jobs[id];
    EXPECT_TRUE(job.handler && !job.asked_to_stop) << "once, and only what runs";
    job.asked_to_stop = true;
  }

  void publish(const std::string& id, std::string data) override {
    Told& job = jobs[id];
    EXPECT_EQ(job.ends, 0) << "after its end: " << data;
    EXPECT_TRUE(!data.contains("nobody waits") || !connected) << "somebody waits for " << id;
    if (!data.starts_with(R"({"progress")")) {
      ++job.ends;
      if (data.starts_with(R"({"result")") && !job.last_given.empty()) {
        EXPECT_EQ(job.last_told, job.last_given) << "the last progress comes before the result";
      }
    }
    job.last_told = std::move(data);
  }

  std::vector<std::string> ids;
  std::map<std::string, Told> jobs;
  bool stopped = false;
  bool connected = true;  // the user
};

// One run: a user with one connection, or none for now.
class Run {
 public:
  explicit Run(std::size_t queued_max) : options{.queued_max = queued_max} {}

  // Each is one event; false: it can not happen now.
  bool start() {
    if (!world.connected || world.ids.size() == 2) {
      return false;
    }
    const auto id = table.start({.caller = caller(), .method = "m", .data = {}}, now);
    if (id.has_value()) {
      world.jobs[*id];
      watched.push_back(*id);
    }
    EXPECT_FALSE(id.has_value() && world.stopped);
    return true;
  }

  bool progress() {
    const std::string id = running();
    if (id.empty()) {
      return false;
    }
    const std::string data = std::to_string(++steps);
    if (world.jobs[id].ends == 0) {
      world.jobs[id].last_given = R"({"progress":)" + data + "}";
    }
    table.progress(id, data, now.monotonic);
    return true;
  }

  bool cancel() {
    if (world.ids.empty()) {
      return false;
    }
    const std::string& id = world.ids.back();
    const bool was_open = world.jobs[id].ends == 0;
    EXPECT_EQ(table.cancel(id, caller(), now), was_open);
    EXPECT_EQ(world.jobs[id].ends, 1) << "told at once";
    return true;
  }

  bool disconnect() {
    if (!std::exchange(world.connected, false)) {
      return false;
    }
    for (const std::string& id : std::exchange(watched, {})) {
      table.unwatched(id, now.monotonic);
    }
    return true;
  }

  bool reconnect() {
    if (std::exchange(world.connected, true)) {
      return false;
    }
    ++connection;
    for (const std::string& id : world.ids) {
      table.watched(id, now.monotonic);
      watched.push_back(id);
    }
    return true;
  }

  bool finish(bool well) {
    const std::string id = running();
    if (id.empty()) {
      return false;
    }
    world.jobs[id].handler = false;
    if (well) {
      table.finished(id, "1", now);
    } else {
      table.finished(id, std::unexpected(Refusal{1000, "no"}), now);
    }
    EXPECT_EQ(world.jobs[id].ends, 1);
    return true;
  }

  bool pass(Duration duration) {
    now.monotonic += duration;
    timers.advance(now.monotonic);
    return true;
  }

  bool stop() {
    if (std::exchange(world.stopped, true)) {
      return false;
    }
    table.stop(now);
    for (const auto& [id, job] : world.jobs) {
      EXPECT_EQ(job.ends, 1);
    }
    return true;
  }

  void check() {
    const auto handlers =
        std::ranges::count_if(world.jobs, [](const auto& job) { return job.second.handler; });
    EXPECT_EQ(table.counts().running, static_cast<std::size_t>(handlers));
    const bool abandoned = !world.connected && options.grace == 0s;
    for (const auto& [id, job] : world.jobs) {
      EXPECT_TRUE(!abandoned || job.ends == 1);
    }
  }

  // Whatever happened: the handlers return, time passes, and nothing is left.
  void settle() {
    while (finish(true)) {
    }
    if (!world.connected) {
      pass(options.grace + 1s);
    }
    while (finish(true)) {
    }
    pass(options.age_max + 1s);
    while (finish(false)) {
    }
    EXPECT_EQ(table.counts().running, 0U);
    EXPECT_EQ(table.counts().queued, 0U);
    pass(options.keep + 1s);
    for (const auto& [id, job] : world.jobs) {
      EXPECT_EQ(job.ends, 1) << "job " << id;
      EXPECT_FALSE(table.knows(id));
    }
    EXPECT_FALSE(timers.next_wakeup().has_value());
  }

  JobOptions options;

 private:
  [[nodiscard]] Caller caller() const {
    return {.client = std::to_string(connection), .user = "u", .info = {}};
  }

  // The oldest whose handler has not returned.
  [[nodiscard]] std::string running() const {
    const auto found = std::ranges::find_if(
        world.ids, [&](const std::string& id) { return world.jobs.at(id).handler; });
    return found == world.ids.end() ? "" : *found;
  }

  World world;
  Now now{TimePoint(1h), WallTime(1h)};
  TimerWheel timers{TimePoint(1h)};
  JobTable table{options, world, timers};
  std::vector<std::string> watched;
  int connection = 1;
  int steps = 0;
};

struct Event {
  const char* name;
  bool (*happen)(Run&);
};

const std::vector<Event>& events() {
  static const std::vector<Event> all = {
      {"start", [](Run& run) { return run.start(); }},
      {"progress", [](Run& run) { return run.progress(); }},
      {"cancel", [](Run& run) { return run.cancel(); }},
      {"disconnect", [](Run& run) { return run.disconnect(); }},
      {"reconnect", [](Run& run) { return run.reconnect(); }},
      {"result", [](Run& run) { return run.finish(true); }},
      {"error", [](Run& run) { return run.finish(false); }},
      {"a moment", [](Run& run) { return run.pass(60ms); }},
      {"the grace", [](Run& run) { return run.pass(run.options.grace + 1s); }},
      {"the age", [](Run& run) { return run.pass(run.options.age_max + 1s); }},
      {"stop", [](Run& run) { return run.stop(); }}};
  return all;
}

std::string text_of(const std::vector<std::size_t>& order) {
  std::string text;
  for (const std::size_t event : order) {
    text += std::string(events()[event].name) + ", ";
  }
  return text;
}

// Whether the order can happen: then its promises were checked, too.
bool plays(const std::vector<std::size_t>& order, std::size_t queued_max, Duration grace) {
  Run run(queued_max);
  run.options.grace = grace;
  for (const std::size_t event : order) {
    if (!events()[event].happen(run)) {
      return false;
    }
    run.check();
  }
  run.settle();
  return true;
}

// All orders that begin with this one. How many there were.
std::size_t play_all(std::vector<std::size_t>& order, std::size_t queued_max, Duration grace) {
  std::size_t played = 0;
  for (std::size_t event = 0; event < events().size() && !::testing::Test::HasFailure(); ++event) {
    order.push_back(event);
    if (plays(order, queued_max, grace)) {
      played += 1 + (order.size() < kLength ? play_all(order, queued_max, grace) : 0);
    }
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "in: " << text_of(order);
    }
    order.pop_back();
  }
  return played;
}

class JobInterleavings : public ::testing::TestWithParam<std::pair<std::size_t, Duration>> {};

TEST_P(JobInterleavings, EachJobIsToldOneEndAndNothingIsLeft) {
  std::vector<std::size_t> order;
  const std::size_t played = play_all(order, GetParam().first, GetParam().second);
  EXPECT_GT(played, 10'000U);
  RecordProperty("orders", std::to_string(played));
}

INSTANTIATE_TEST_SUITE_P(All, JobInterleavings,
                         ::testing::Values(std::pair{std::size_t{0}, Duration(30s)},
                                           std::pair{std::size_t{1}, Duration(30s)},
                                           std::pair{std::size_t{1}, Duration(0s)}),
                         [](const auto& parameters) {
                           return std::string(parameters.param.first > 0 ? "Queued" : "Refused") +
                                  (parameters.param.second > 0s ? "WithGrace" : "WithoutGrace");
                         });

}  // namespace
}  // namespace trunkline::session
