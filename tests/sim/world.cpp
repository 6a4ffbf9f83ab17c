// SPDX-License-Identifier: Apache-2.0
#include "sim/world.h"

#include "core/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace trunkline::sim {

namespace {

// A connection token is its user's name, and grants what the world says.
class Tokens final : public session::Authenticator {
 public:
  explicit Tokens(const World& world) : world_(world) {}

  [[nodiscard]] Result<session::ConnectionClaims> verify_connection(
      std::string_view token, WallTime /*now*/) const override {
    session::ConnectionClaims claims{.user = std::string(token), .info = {}, .expire_at = {}};
    for (const std::string& channel : world_.granted(token)) {
      claims.channels.push_back({.channel = channel});
    }
    return claims;
  }

  [[nodiscard]] Result<session::SubscriptionClaims> verify_subscription(
      std::string_view /*token*/, WallTime /*now*/) const override {
    return fail(ErrorCode::kTokenInvalid, "no tokens here");
  }

 private:
  const World& world_;
};

class Snapshots final : public session::SnapshotProvider {
 public:
  Snapshots(World& world, Shard& shard) : world_(world), shard_(shard) {}

  [[nodiscard]] bool covers(std::string_view channel) const override {
    return World::has_snapshots(channel);
  }

  void take(const std::string& channel, const Position& attached,
            hub::Done<session::Snapshot> done) override {
    world_.take_snapshot(shard_, channel, attached, std::move(done));
  }

 private:
  World& world_;
  Shard& shard_;
};

}  // namespace

World::World(const Script& script)
    : script_(script),
      schedule_(script.seed * 0x9e3779b97f4a7c15U + 1),
      checker_(schedule_.now()),
      authenticator_(std::make_unique<Tokens>(*this)) {
  has_server_subs_ = schedule_.random.one_in(2);
  make_options();
  start_server();
  make_clients();
}

World::~World() = default;

void World::make_clients() {
  Random& random = schedule_.random;
  // Now and then a crowd, in which many are behind at once.
  const bool crowd = !script_.brief && random.one_in(10);
  const std::size_t clients =
      crowd ? 12 + random.below(8) : 2 + random.below(script_.brief ? 2 : 4);
  for (std::size_t i = 0; i < clients; ++i) {
    clients_.push_back(
        std::make_unique<Client>(*this, i,
                                 Behaviour{.mute = random.one_in(6),
                                           .batches = random.one_in(2),
                                           .recovers = !random.one_in(5),
                                           .has_token = has_server_subs_ && !random.one_in(3)}));
  }
  for (int i = 0; has_server_subs_ && i < 6; ++i) {
    change_grant();
  }
}

void World::add_channel(std::string name, session::ChannelOptions options) {
  options.allow_positioning = options.allow_recovery = true;
  // Who is subscribed by the server has no say.
  options.force_recovery = has_server_subs_ && options.has_history();
  channels_.push_back(name + ":channel");
  options_.session.channel.namespaces.emplace(std::move(name), options);
}

void World::make_options() {
  Random& random = schedule_.random;
  session::ClientOptions& client = options_.session.client;
  client.insecure = true;
  client.ping_interval = std::chrono::seconds(5 + random.below(6));
  client.pong_timeout = std::chrono::seconds(2 + random.below(3));
  client.recovery_max_publication_limit = random.one_in(2) ? 4 : 300;
  options_.outbox.high_water_bytes = random.one_in(3) ? 1500 : 64UL * 1024;
  options_.outbox.write_deadline = random.one_in(2) ? 10s : 90s;
  options_.engine.total_bytes_max = random.one_in(3) ? 3000 + random.below(20'000) : 64UL << 20U;
  options_.asks_door = random.one_in(2);
  options_.drain_per_second = random.one_in(2) ? 1 + random.below(200) : 0;
  if (random.one_in(2)) {
    options_.catch_up_bytes_per_turn = 1 + random.below(1500);
    options_.run_bytes = 1 + random.below(700);
  }
  if (random.one_in(2)) {
    options_.pacing = {.wait_max = std::chrono::milliseconds(50 + random.below(2000)),
                       .free_publications = 1 + random.below(6),
                       .free_bytes = 200 + random.below(2000),
                       .waiting_bytes_max = random.one_in(2) ? 500UL : 100'000UL};
  }
  options_.session.channel.history_meta_ttl =
      std::chrono::seconds(random.one_in(2) ? 20 + random.below(30) : 400);
  const std::size_t few = 2 + random.below(4);
  const auto short_age = std::chrono::seconds(2 + random.below(20));
  using session::ChannelOptions;
  const std::vector<std::pair<std::string, ChannelOptions>> kinds = {
      {"large", {.history_size = 1000, .history_ttl = 300s}},
      {"tiny", {.history_size = few, .history_ttl = 300s}},
      {"none", {}},
      {"snap", {.history_size = 50, .history_ttl = 120s}},
      {"snaptiny", {.history_size = few, .history_ttl = 100s}},
      {"members", {.presence = true, .join_leave = true, .history_size = 20, .history_ttl = 60s}},
      {"chat", {.presence = true, .join_leave = true}},
      {"bytes", {.history_size = 1000, .history_ttl = 300s, .history_bytes = 500 + few * 300}},
      {"age", {.history_size = 1000, .history_ttl = short_age}},
      {"strict",
       {.history_size = few, .history_ttl = 60s, .on_lost = session::OnLost::kDisconnect}},
      {"skip", {.history_size = few, .history_ttl = 60s, .on_lost = session::OnLost::kSkip}},
      {"latest", {.history_size = few, .history_ttl = 60s, .on_lost = session::OnLost::kLatest}},
  };
  for (const auto& [name, options] : kinds) {
    if (random.one_in(2) || (name == "strict" && channels_.empty())) {
      add_channel(name, options);
    }
  }
}

void World::start_server() {
  const auto count = static_cast<hub::ShardId>(1 + schedule_.random.below(4));
  servers_.push_back(
      std::make_unique<Server>(schedule_, checker_, options_, *authenticator_, count, faults_));
  for (const auto& shard : server().shards()) {
    snapshots_.push_back(std::make_unique<Snapshots>(*this, *shard));
    shard->environment().snapshots = snapshots_.back().get();
  }
}

void World::log(std::string_view who, std::string_view what) {
  schedule_.trace(what);
  if (script_.print_trace) {
    const std::chrono::duration<double> now = schedule_.now().time_since_epoch();
    std::puts(fmt::format("{:10.6f} {}: {}", now.count(), who, what).c_str());
  }
}

Client& World::any_client() {
  return *clients_[schedule_.random.below(clients_.size())];
}

const std::string& World::any_channel() {
  return channels_[schedule_.random.below(channels_.size())];
}

std::string World::next_data() {
  Random& random = schedule_.random;
  const std::size_t padding = random.one_in(20) ? 600 : random.below(60);
  return fmt::format(R"({{"p":{},"v":{},"x":"{}"}})", ++last_serial_, 1 + random.below(1000),
                     std::string(padding, 'x'));
}

Wire& World::open_wire(Client& client) {
  Random& random = schedule_.random;
  PipeShape up{.delay_max = random.one_in(4) ? paced(300ms, 50ms) : 5ms,
               .ragged = random.one_in(3)};
  PipeShape down = up;
  down.ragged = random.one_in(2);
  down.window = random.one_in(2) ? 64UL * 1024 : 20 + random.below(2000);
  if (!faults_) {
    up = down = PipeShape{};
  }
  Wire& wire = *wires_.emplace_back(std::make_unique<Wire>(schedule_, up, down));
  wire.down.on_bytes = [&client, &wire](std::string_view bytes) { client.received(wire, bytes); };
  server().connect(wire);
  return wire;
}

bool World::has_snapshots(std::string_view channel) {
  return channel.starts_with("snap");
}

void World::take_snapshot(Shard& shard, const std::string& channel, const Position& attached,
                          hub::Done<session::Snapshot> done) {
  const Duration longest = !faults_                      ? 20ms
                           : schedule_.random.one_in(10) ? paced(20s, 1s)
                                                         : paced(500ms, 100ms);
  ++shard.snapshots_asked;
  schedule_.after(schedule_.between(0ms, longest), [this, &shard, channel, attached, longest,
                                                    done = std::move(done)]() mutable {
    Random& random = schedule_.random;
    Result<session::Snapshot> result = fail(ErrorCode::kUnavailable, "the backend is away");
    if (!faults_ || !random.one_in(12)) {
      const EpochLog& log = *checker_.current(channel);
      Position at{log.epoch, log.head()};
      const bool silent = attached.epoch == log.epoch && random.one_in(4);
      if (silent) {
        at = attached;
      } else if (faults_ && random.one_in(4)) {
        at.offset.value -= std::min<std::uint64_t>(random.below(30), at.offset.value);
      }
      const std::uint64_t sum = at.offset.value == 0 ? 0 : log.at(at.offset).sum;
      result = session::Snapshot{.data = fold_text(sum, at.offset.value),
                                 .position = silent ? std::nullopt : std::optional(at)};
    }
    schedule_.after(schedule_.between(0ms, longest),
                    [&shard, result = std::move(result), done = std::move(done)]() mutable {
                      --shard.snapshots_asked;
                      if (shard.has_ended()) {
                        TRUNKLINE_SOMETIMES("snapshot for a shard that has ended");
                      }
                      shard.run([result = std::move(result),
                                 done = std::move(done)](Shard&) mutable { done(result); });
                    });
  });
}

void World::actor(Duration pause_max, void (World::*step)()) {
  const Duration longest = faults_ ? pause_max : std::max<Duration>(pause_max, 100ms);
  schedule_.after(schedule_.between(1ms, longest), [this, pause_max, step] {
    if (over_) {
      return;
    }
    (this->*step)();
    actor(pause_max, step);
  });
}

void World::run_until(TimePoint end) {
  schedule_.run_until(end, [this] {
    if (script_.stop_at == schedule_.events() && !server().is_stopping() && servers_.size() == 1) {
      stop_server();
    }
    return !checker_.failed();
  });
}

void World::make_trouble() {
  Random& random = schedule_.random;
  if (script_.brief) {
    actor(15ms, &World::keep_up);
    actor(25ms, &World::act);
    actor(40ms, &World::publish_some);
    actor(300ms, &World::break_something);
    actor(400ms, &World::end_something);
    actor(200ms, &World::change_grant);
    run_until(schedule_.now() + std::chrono::milliseconds(300 + random.below(500)));
    return;
  }
  actor(100ms, &World::keep_up);
  actor(std::chrono::milliseconds(100 + random.below(400)), &World::act);
  actor(std::chrono::milliseconds(100 + random.below(700)), &World::publish_some);
  actor(std::chrono::milliseconds(500 + random.below(5000)), &World::break_something);
  actor(std::chrono::milliseconds(1000 + random.below(5000)), &World::end_something);
  actor(std::chrono::milliseconds(500 + random.below(3000)), &World::change_grant);
  const auto length = std::chrono::seconds(5 + random.below(25));
  if (random.one_in(3)) {
    plan_stop(length);
  }
  run_until(schedule_.now() + length);
  if (random.one_in(3)) {
    silent_until_ = schedule_.now() + std::chrono::seconds(20 + random.below(100));
    const bool alone = random.one_in(2);
    for (const auto& client : clients_) {
      if (alone) {
        // Nobody is left: positions may be forgotten before anybody comes back.
        client->stay_away(silent_until_ + schedule_.between(0ms, 5s));
      }
    }
    run_until(silent_until_ + 15s);
  }
}

Outcome World::run() {
  make_trouble();
  const std::uint64_t steps = schedule_.events();
  wait_for_server();
  quiet();
  shut_down();
  return Outcome{.check = checker_.check(),
                 .detail = checker_.detail(),
                 .trace_hash = schedule_.trace_hash(),
                 .events = schedule_.events(),
                 .published = last_serial_,
                 .steps = steps};
}

}  // namespace trunkline::sim
