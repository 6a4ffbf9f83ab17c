// SPDX-License-Identifier: Apache-2.0
//
// One run: shards, clients, publishers, snapshots and faults, all from one seed.
//
//   faults     everything happens: cuts, stalls, server-side ends, minutes of silence
//   quiet      no more faults; everybody connects and catches up within kQuiet
//   shutdown   all sessions end; nothing may be left of them
#pragma once

#include "session/authenticator.h"
#include "session/snapshot.h"
#include "sim/checker.h"
#include "sim/client.h"
#include "sim/schedule.h"
#include "sim/shard.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::sim {

struct Outcome {
  std::string check;  // empty: nothing was violated
  std::string detail;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t published = 0;
};

class World {
 public:
  World(std::uint64_t seed, bool print_trace);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  Outcome run();

  // For clients.
  [[nodiscard]] Schedule& schedule() { return schedule_; }

  [[nodiscard]] Checker& checker() { return checker_; }

  [[nodiscard]] const session::ChannelRules& rules() const { return options_.session.channel; }

  [[nodiscard]] const std::vector<std::string>& channels() const { return channels_; }

  [[nodiscard]] const session::ClientOptions& client_options() const {
    return options_.session.client;
  }

  // The data of the next publication.
  [[nodiscard]] std::string next_data();

  [[nodiscard]] std::uint64_t last_serial() const { return last_serial_; }

  Wire& open_wire(Client& client);
  void log(std::string_view who, std::string_view what);

  [[nodiscard]] static bool has_snapshots(std::string_view channel);
  // A snapshot for a subscriber on that shard, which comes some time.
  void take_snapshot(Shard& shard, const std::string& channel, const Position& attached,
                     hub::Done<session::Snapshot> done);

 private:
  void make_options();
  void add_channel(std::string name, session::ChannelOptions options);
  void make_shards();
  void deliver(hub::ShardId from, hub::ShardId to, hub::Message message);
  void actor(Duration pause_max, void (World::*step)());
  void keep_up();
  void act();
  void publish_some();
  void publish(const std::string& channel);
  void repeat_publication();
  void break_something();
  void end_something();
  void run_until(TimePoint end);
  void quiet();
  void check_presence();
  void shut_down();
  void check_nothing_left();

  // A publication with an idempotency key that was answered.
  struct Keyed {
    std::string channel;
    std::string key;
    Position position;
    TimePoint asked;
  };

  [[nodiscard]] Client& any_client();
  [[nodiscard]] Shard& any_shard();
  [[nodiscard]] const std::string& any_channel();

  const bool print_trace_;
  Schedule schedule_;
  Checker checker_;
  ShardOptions options_;
  std::unique_ptr<session::Authenticator> authenticator_;
  std::vector<std::string> channels_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::vector<std::unique_ptr<session::SnapshotProvider>> snapshots_;  // one a shard
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<TimePoint> last_mail_;  // from × to: arrival of the newest
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Keyed> keyed_;
  std::uint64_t last_serial_ = 0;
  std::uint64_t last_key_ = 0;
  Duration mail_delay_max_{2ms};
  TimePoint silent_until_;
  bool faults_ = true;
  bool over_ = false;
};

}  // namespace trunkline::sim
