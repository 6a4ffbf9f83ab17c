// SPDX-License-Identifier: Apache-2.0
//
// What happens in a world, and what must be so at its end.
#include "hub/idempotency.h"
#include "session/permissions.h"
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr Duration kQuiet = 45s;
constexpr Duration kQuietBrief = 6s;

}  // namespace

void World::keep_up() {
  for (const auto& client : clients_) {
    client->keep_up();
  }
}

void World::act() {
  if (faults_ && schedule_.now() >= silent_until_) {
    any_client().act();
  }
}

void World::call(std::move_only_function<void(Shard&, std::uint64_t)> ask) {
  server().any_shard().run([ask = std::move(ask)](Shard& shard) mutable {
    if (const std::uint64_t number = shard.begin_call(); number != 0) {
      ask(shard, number);
    }
  });
}

void World::publish(const std::string& channel) {
  Random& random = schedule_.random;
  Keyed keyed{.channel = channel, .key = {}, .position = {}, .asked = schedule_.now()};
  if (faults_ && random.one_in(20)) {
    keyed.key = fmt::format("key-{}", ++last_key_);
  }
  hub::PublishRequest request{
      .channel = channel,
      .settings = session::channel_settings(rules(), *session::find_options(rules(), channel)),
      .publication = {.data = next_data(), .info = {}, .tags = {}},
      .logged = !(faults_ && keyed.key.empty() && random.one_in(30)),
      .idempotency_key = keyed.key,
      .done = {}};
  const std::uint64_t serial = last_serial_;
  if (!request.logged) {
    checker_.note_unlogged(serial, channel);
  }
  auto done = [this, serial, keyed = std::move(keyed),
               must_be_logged = request.logged && request.settings.has_history()](
                  const Result<Position>& position) mutable {
    const Placed* placed = checker_.placed(serial);
    const bool logged = placed != nullptr && placed->log != nullptr;
    if (!position.has_value() || (must_be_logged && !logged) ||
        (logged && *position != Position{placed->log->epoch, placed->offset})) {
      checker_.violated("publish", fmt::format("publication {} of {} was answered wrongly", serial,
                                               keyed.channel));
    }
    if (!keyed.key.empty() && position.has_value()) {
      keyed.position = *position;
      keyed_.push_back(std::move(keyed));
    }
  };
  call([request = std::move(request), done = std::move(done)](Shard& shard,
                                                              std::uint64_t number) mutable {
    request.done = [&shard, number, done = std::move(done)](Result<Position> position) mutable {
      shard.end_call(number);
      done(position);
    };
    shard.hub().publish(std::move(request), shard.environment().now.monotonic);
  });
}

// A publisher that repeats itself gets the first answer.
void World::repeat_publication() {
  const Keyed& first = keyed_[schedule_.random.below(keyed_.size())];
  if (first.asked + hub::RecentKeys::kAge - 30s <= schedule_.now()) {
    return;
  }
  hub::PublishRequest request{.channel = first.channel,
                              .settings = session::channel_settings(
                                  rules(), *session::find_options(rules(), first.channel)),
                              .publication = {.data = next_data(), .info = {}, .tags = {}},
                              .idempotency_key = first.key,
                              .done = {}};
  call([this, first, request = std::move(request)](Shard& shard, std::uint64_t number) mutable {
    request.done = [this, first, &shard, number](Result<Position> position) {
      shard.end_call(number);
      if (!position.has_value() || *position != first.position) {
        checker_.violated("idempotency",
                          fmt::format("channel {}: key {} was at {} first", first.channel,
                                      first.key, first.position.offset.value));
      }
    };
    shard.hub().publish(std::move(request), shard.environment().now.monotonic);
  });
}

void World::publish_some() {
  if (!faults_ || schedule_.now() < silent_until_) {
    return;
  }
  Random& random = schedule_.random;
  if (!keyed_.empty() && random.one_in(20)) {
    repeat_publication();
  }
  const std::string channel = any_channel();
  const std::uint64_t count = random.one_in(10) ? random.below(30) : 1 + random.below(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    publish(channel);
  }
}

void World::break_something() {
  Random& random = schedule_.random;
  Client& client = any_client();
  if (!faults_ || client.wire() == nullptr) {
    return;
  }
  if (random.one_in(2)) {
    client.cut();
    return;
  }
  const Duration longest = random.one_in(4) ? 45s : paced(5s, 200ms);
  client.wire()->down.stall_until(schedule_.now() + schedule_.between(0ms, longest));
}

void World::end_something() {
  Random& random = schedule_.random;
  if (!faults_ || schedule_.now() < silent_until_) {
    return;
  }
  const std::string channel = any_channel();
  if (random.one_in(12)) {
    hub::HistoryRemoveRequest request{
        .channel = channel,
        .settings = session::channel_settings(rules(), *session::find_options(rules(), channel)),
        .done = {}};
    call([request = std::move(request)](Shard& shard, std::uint64_t number) mutable {
      request.done = [&shard, number](const Result<Position>& /*top*/) { shard.end_call(number); };
      shard.hub().history_remove(std::move(request), shard.environment().now.monotonic);
    });
    return;
  }
  const Wire* wire = any_client().wire();
  if (wire == nullptr || wire->shard == nullptr) {
    return;
  }
  wire->shard->run([channel, id = wire->connection, all = random.one_in(3)](Shard& shard) {
    Connection* connection = shard.find(id);
    if (connection == nullptr || connection->session() == nullptr) {
      return;
    }
    if (all) {
      connection->session()->disconnect(session::kDisconnectForceReconnect);
    } else {
      connection->session()->unsubscribe(channel, session::kUnsubscribeServer);
    }
  });
}

// — server-side subscriptions —

const std::set<std::string>& World::granted(std::string_view user) const {
  static const std::set<std::string> kNone;
  const auto found = granted_.find(user);
  return found == granted_.end() ? kNone : found->second;
}

bool World::is_granted(std::string_view user, const std::string& channel) const {
  return granted(user).contains(channel);
}

void World::revoke(std::string_view user, const std::string& channel) {
  granted_[std::string(user)].erase(channel);
}

void World::change_grant() {
  Client& client = any_client();
  if (!faults_ || !client.has_token() || schedule_.now() < silent_until_) {
    return;
  }
  const ClientChannel& channel = client.channels()[schedule_.random.below(channels_.size())];
  if (!channel.from_server) {
    return;
  }
  std::set<std::string>& channels = granted_[client.name()];
  if (!channels.insert(channel.name).second) {
    channels.erase(channel.name);
  }
  tell_grant(client, channel.name);
  if (schedule_.random.one_in(4)) {
    tell_grant(client, channel.name);
  }
}

void World::tell_grant(Client& client, const std::string& channel) {
  const Wire* wire = client.wire();
  if (wire == nullptr || wire->shard == nullptr) {
    return;
  }
  wire->shard->run(
      [channel, id = wire->connection, granted = is_granted(client.name(), channel)](Shard& shard) {
        Connection* connection = shard.find(id);
        if (connection == nullptr || connection->session() == nullptr) {
          return;
        }
        if (granted) {
          connection->session()->subscribe_from_server({.channel = channel});
        } else {
          connection->session()->unsubscribe(channel, session::kUnsubscribeServer);
        }
      });
}

// What was changed while a client was connecting has reached nobody.
void World::tell_all_grants() {
  for (const auto& client : clients_) {
    for (const ClientChannel& channel : client->channels()) {
      if (channel.from_server) {
        tell_grant(*client, channel.name);
      }
    }
  }
}

// — the end —

void World::quiet() {
  faults_ = false;
  for (const auto& wire : wires_) {
    wire->down.relax();
    wire->up.relax();
  }
  for (const auto& client : clients_) {
    client->settle_down();
  }
  run_until(schedule_.now() + paced(kQuiet, kQuietBrief));
  tell_all_grants();
  run_until(schedule_.now() + 1s);
  for (const auto& client : clients_) {
    client->check_caught_up(false);
  }
  // One at a time: where memory is scarce, what comes together may push each other out.
  for (int i = 0; i < 2; ++i) {
    for (const std::string& channel : channels_) {
      publish(channel);
      run_until(schedule_.now() + 200ms);
    }
  }
  run_until(schedule_.now() + 1s);
  for (const auto& client : clients_) {
    client->check_caught_up(true);
    if (schedule_.now() - client->last_ping() > client_options().ping_interval + 1s) {
      checker_.violated("no ping", fmt::format("{} has had none for long", client->name()));
    }
  }
  check_presence();
  run_until(schedule_.now() + 1s);
}

void World::check_presence() {
  for (const std::string& channel : channels_) {
    if (!session::find_options(rules(), channel)->presence) {
      continue;
    }
    std::set<std::string> expected;
    for (const auto& client : clients_) {
      for (const ClientChannel& own : client->channels()) {
        if (own.name == channel && own.phase == ClientChannel::Phase::kLive) {
          expected.insert(client->client_id());
        }
      }
    }
    server().any_shard().run([this, channel, expected](Shard& shard) {
      shard.hub().presence({.channel = channel,
                            .done =
                                [this, channel, expected](Result<hub::Presence> presence) {
                                  std::set<std::string> found;
                                  for (const hub::ClientInfo& info : *presence) {
                                    found.insert(info.client);
                                  }
                                  if (found != expected) {
                                    checker_.violated(
                                        "presence",
                                        fmt::format("channel {}: {} members, {} expected", channel,
                                                    found.size(), expected.size()));
                                  }
                                }},
                           shard.environment().now.monotonic);
    });
  }
}

}  // namespace trunkline::sim
