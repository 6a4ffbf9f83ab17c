// SPDX-License-Identifier: Apache-2.0
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace trunkline::sim {

namespace {

// Nobody has a token.
class NoTokens final : public session::Authenticator {
 public:
  [[nodiscard]] Result<session::ConnectionClaims> verify_connection(
      std::string_view /*token*/, WallTime /*now*/) const override {
    return fail(ErrorCode::kTokenInvalid, "no tokens here");
  }

  [[nodiscard]] Result<session::SubscriptionClaims> verify_subscription(
      std::string_view /*token*/, WallTime /*now*/) const override {
    return fail(ErrorCode::kTokenInvalid, "no tokens here");
  }
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

World::World(std::uint64_t seed, bool print_trace)
    : print_trace_(print_trace),
      schedule_(seed * 0x9e3779b97f4a7c15U + 1),
      checker_(schedule_.now()),
      authenticator_(std::make_unique<NoTokens>()) {
  make_options();
  make_shards();
  Random& random = schedule_.random;
  const std::size_t clients = 2 + random.below(4);
  for (std::size_t i = 0; i < clients; ++i) {
    clients_.push_back(std::make_unique<Client>(
        *this, i,
        Behaviour{
            .mute = random.one_in(6), .batches = random.one_in(2), .recovers = !random.one_in(5)}));
  }
}

World::~World() = default;

void World::add_channel(std::string name, session::ChannelOptions options) {
  options.allow_positioning = options.allow_recovery = true;
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

void World::make_shards() {
  const auto count = static_cast<hub::ShardId>(1 + schedule_.random.below(4));
  last_mail_.resize(std::size_t{count} * count);
  for (hub::ShardId id = 0; id < count; ++id) {
    shards_.push_back(
        std::make_unique<Shard>(schedule_, checker_, id, count, options_, *authenticator_,
                                [this](hub::ShardId from, hub::ShardId to, hub::Message message) {
                                  deliver(from, to, std::move(message));
                                }));
    snapshots_.push_back(std::make_unique<Snapshots>(*this, *shards_.back()));
    shards_.back()->environment().snapshots = snapshots_.back().get();
  }
}

// Mail is late, and in order between any two shards.
void World::deliver(hub::ShardId from, hub::ShardId to, hub::Message message) {
  const Duration late = faults_ && schedule_.random.one_in(100) ? 2s : mail_delay_max_;
  TimePoint& last = last_mail_[from * shards_.size() + to];
  last = std::max(last, schedule_.now() + schedule_.between(0ms, late));
  schedule_.at(last, [this, to, message = std::move(message)]() mutable {
    shards_[to]->receive(std::move(message));
  });
}

void World::log(std::string_view who, std::string_view what) {
  schedule_.trace(what);
  if (print_trace_) {
    const std::chrono::duration<double> now = schedule_.now().time_since_epoch();
    std::puts(fmt::format("{:10.6f} {}: {}", now.count(), who, what).c_str());
  }
}

Client& World::any_client() {
  return *clients_[schedule_.random.below(clients_.size())];
}

Shard& World::any_shard() {
  return *shards_[schedule_.random.below(shards_.size())];
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
  PipeShape up{.delay_max = random.one_in(4) ? 300ms : 5ms, .ragged = random.one_in(3)};
  PipeShape down = up;
  down.ragged = random.one_in(2);
  down.window = random.one_in(2) ? 64UL * 1024 : 20 + random.below(2000);
  if (!faults_) {
    up = down = PipeShape{};
  }
  Wire& wire = *wires_.emplace_back(std::make_unique<Wire>(schedule_, up, down));
  wire.down.on_bytes = [&client, &wire](std::string_view bytes) { client.received(wire, bytes); };
  any_shard().adopt(wire);
  return wire;
}

bool World::has_snapshots(std::string_view channel) {
  return channel.starts_with("snap");
}

void World::take_snapshot(Shard& shard, const std::string& channel, const Position& attached,
                          hub::Done<session::Snapshot> done) {
  const Duration longest = !faults_ ? 20ms : schedule_.random.one_in(10) ? 20s : 500ms;
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
                      shard.run([result = std::move(result),
                                 done = std::move(done)](Shard&) mutable { done(result); });
                    });
  });
}

void World::actor(Duration pause_max, void (World::*step)()) {
  schedule_.after(schedule_.between(1ms, pause_max), [this, pause_max, step] {
    if (over_) {
      return;
    }
    (this->*step)();
    actor(pause_max, step);
  });
}

void World::run_until(TimePoint end) {
  schedule_.run_until(end, [this] { return !checker_.failed(); });
}

Outcome World::run() {
  Random& random = schedule_.random;
  actor(100ms, &World::keep_up);
  actor(std::chrono::milliseconds(100 + random.below(400)), &World::act);
  actor(std::chrono::milliseconds(100 + random.below(700)), &World::publish_some);
  actor(std::chrono::milliseconds(500 + random.below(5000)), &World::break_something);
  actor(std::chrono::milliseconds(1000 + random.below(5000)), &World::end_something);
  run_until(schedule_.now() + std::chrono::seconds(5 + random.below(25)));
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
  quiet();
  shut_down();
  check_nothing_left();
  return Outcome{.check = checker_.check(),
                 .detail = checker_.detail(),
                 .trace_hash = schedule_.trace_hash(),
                 .events = schedule_.events(),
                 .published = last_serial_};
}

}  // namespace trunkline::sim
