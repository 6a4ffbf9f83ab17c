// SPDX-License-Identifier: Apache-2.0
//
// The server stops, in the middle of everything or for good, and what must be so then.
#include "core/probe.h"
#include "hub/idempotency.h"
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

namespace {

// What turns add to the time of mail and deadlines.
constexpr Duration kSlack = 100ms;
// Whoever asked something of a drained shard has the answer, and has given back what came of it.
constexpr Duration kSettled = 3 * Server::kMailLatest + kSlack;
constexpr Duration kDownMax = 3s;
constexpr Duration kLongestStop = 60s;

}  // namespace

void World::plan_stop(Duration within) {
  schedule_.after(schedule_.between(0ms, within), [this] {
    burst();
    schedule_.after(schedule_.between(0ms, 10ms), [this] { stop_server(); });
  });
}

// So that a stop finds much on its way.
void World::burst() {
  for (int i = 0; i < 10; ++i) {
    for (const auto& client : clients_) {
      client->act();
    }
    publish(any_channel());
  }
}

void World::stop_server() {
  Random& random = schedule_.random;
  // Most stops have to end by themselves; where the deadline is short, some are cut off by it.
  const Duration deadline = schedule_.between(random.one_in(4) ? 100ms : 5s, 8s);
  const bool hold = random.one_in(3);
  log("server",
      fmt::format("is stopped, deadline {} ms",
                  std::chrono::duration_cast<std::chrono::milliseconds>(deadline).count()));
  for (const auto& client : clients_) {
    client->note_situation();
  }
  server().stop(deadline, hold, [this] {
    log("server", "has ended");
    schedule_.after(schedule_.between(0ms, paced(kDownMax, 100ms)), [this] {
      // What publishers know of keys is no longer true.
      keyed_.clear();
      start_server();
      log("server", "starts again");
    });
  });
  for (int i = 0; i < 10; ++i) {
    schedule_.after(schedule_.between(0ms, 25ms), [this] {
      publish(any_channel());
      any_client().keep_up();
    });
  }
  check_stop(deadline, hold);
}

void World::check_stop(Duration deadline, bool hold) {
  Server& stopping = server();
  const auto expect = [this](bool so, std::string_view what) {
    if (!so) {
      checker_.violated("stop hangs", fmt::format("not all shards have {} in time", what));
    }
  };
  Duration time = Server::kMailLatest + deadline + kSlack;
  schedule_.after(time, [&stopping, expect] { expect(stopping.is_drained(), "drained"); });
  if (hold) {
    time += kSettled;
    schedule_.after(time, [this] { check_nobody_subscribed(); });
    time += kSettled;
    schedule_.after(time, [&stopping] { stopping.finish(); });
  }
  time += Server::kMailLatest + kSlack;
  schedule_.after(time, [&stopping, expect] { expect(stopping.has_ended(), "ended"); });
}

// No home counts anybody, and nobody is present, once all have drained and all mail has come.
void World::check_nobody_subscribed() {
  Shard& asking = server().any_shard();
  asking.run([this](Shard& shard) {
    shard.hub().channels(
        [this](const Result<hub::ChannelCounts>& counts) {
          for (const auto& [channel, count] : *counts) {
            checker_.violated("left behind", fmt::format("channel {} has {} subscribers after the "
                                                         "stop",
                                                         channel, count));
          }
        },
        shard.environment().now.monotonic);
    for (const std::string& channel : channels_) {
      shard.hub().presence({.channel = channel,
                            .done =
                                [this, channel](const Result<hub::Presence>& presence) {
                                  if (!presence->empty()) {
                                    checker_.violated(
                                        "left behind",
                                        fmt::format("channel {} has {} members after the stop",
                                                    channel, presence->size()));
                                  }
                                }},
                           shard.environment().now.monotonic);
    }
  });
}

// A stop that is under way comes to its end, and a server is there.
void World::wait_for_server() {
  const TimePoint latest = schedule_.now() + kLongestStop;
  while (server().is_stopping() && schedule_.now() < latest) {
    run_until(schedule_.now() + 100ms);
  }
  if (server().is_stopping()) {
    checker_.violated("stop hangs", "no server took the place of the one that was stopped");
  }
}

// For good: first the shards drain, then time passes until nothing need be remembered, then they
// end.
void World::shut_down() {
  burst();
  run_until(schedule_.now() + schedule_.between(0ms, 10ms));
  over_ = true;
  server().stop(10s, true, {});
  run_until(schedule_.now() + 10s + kSlack);
  if (!server().is_drained()) {
    checker_.violated("stop hangs", "not all shards have drained in time");
  }
  check_nobody_subscribed();
  for (const auto& shard : server().shards()) {
    shard->check_left_behind();
  }
  // Keys of publications first, then the positions.
  for (int i = 0; i < 2; ++i) {
    run_until(schedule_.now() + hub::RecentKeys::kAge + rules().history_meta_ttl + 1s);
    for (const auto& shard : server().shards()) {
      shard->run([](Shard&) {});
    }
  }
  run_until(schedule_.now() + rules().history_meta_ttl + 1s);
  for (const auto& shard : server().shards()) {
    shard->check_nothing_left();
  }
  server().finish();
  run_until(schedule_.now() + kSlack);
  if (!server().has_ended()) {
    checker_.violated("stop hangs", "not all shards have ended in time");
  }
}

}  // namespace trunkline::sim
