// SPDX-License-Identifier: Apache-2.0
//
// One run: shards, clients, publishers, snapshots and faults, all from one seed.
//
//   faults     everything happens: cuts, stalls, server-side ends, minutes of silence; in some runs
//              the server is stopped, and another one takes its place
//   quiet      no more faults; everybody connects and catches up
//   shutdown   the server is stopped for good; nothing may be left
#pragma once

#include "session/authenticator.h"
#include "session/snapshot.h"
#include "sim/checker.h"
#include "sim/client.h"
#include "sim/schedule.h"
#include "sim/server.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sim {

struct Outcome {
  std::string check;  // empty: nothing was violated
  std::string detail;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t published = 0;
  std::uint64_t steps = 0;  // events until the end of the faults
};

// What is asked of a run.
struct Script {
  std::uint64_t seed = 0;
  // A second or so in which much happens, and no stop but the one below.
  bool brief = false;
  // The server is stopped before the event of that number. Of a brief run.
  std::optional<std::uint64_t> stop_at{};
  bool print_trace = false;
};

class World {
 public:
  explicit World(const Script& script);
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

  [[nodiscard]] Server& server() { return *servers_.back(); }

  // The usual time, or what stands for it in a brief run.
  [[nodiscard]] Duration paced(Duration usual, Duration brief) const {
    return script_.brief ? brief : usual;
  }

  Wire& open_wire(Client& client);
  void log(std::string_view who, std::string_view what);

  // Which channels the server is to begin for whom. A client that ends one is granted it no more.
  [[nodiscard]] bool is_granted(std::string_view user, const std::string& channel) const;
  [[nodiscard]] const std::set<std::string>& granted(std::string_view user) const;
  void revoke(std::string_view user, const std::string& channel);

  [[nodiscard]] static bool has_snapshots(std::string_view channel);
  // A snapshot for a subscriber on that shard, which comes some time.
  void take_snapshot(Shard& shard, const std::string& channel, const Position& attached,
                     hub::Done<session::Snapshot> done);

 private:
  void make_options();
  void add_channel(std::string name, session::ChannelOptions options);
  void start_server();
  void make_clients();
  void make_trouble();
  // Somebody calls the API; `ask` gets the number to end the call with.
  void call(std::move_only_function<void(Shard&, std::uint64_t)> ask);
  void actor(Duration pause_max, void (World::*step)());
  void keep_up();
  void act();
  void publish_some();
  void publish(const std::string& channel);
  void repeat_publication();
  void break_something();
  void end_something();
  // Server-side subscriptions: one more or less; and what is granted, told to a connection again.
  void change_grant();
  void tell_grant(Client& client, const std::string& channel);
  void tell_all_grants();
  void run_until(TimePoint end);
  // The stop. (stop.cpp)
  void plan_stop(Duration within);
  void burst();
  void stop_server();
  void check_stop(Duration deadline, bool hold);
  void check_nobody_subscribed();
  void wait_for_server();
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
  [[nodiscard]] const std::string& any_channel();

  const Script script_;
  Schedule schedule_;
  bool has_server_subs_ = false;
  std::map<std::string, std::set<std::string>, std::less<>> granted_;  // channels by user
  Checker checker_;
  ShardOptions options_;
  std::unique_ptr<session::Authenticator> authenticator_;
  std::vector<std::string> channels_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::vector<std::unique_ptr<session::SnapshotProvider>> snapshots_;  // one a shard, ever
  std::vector<std::unique_ptr<Server>> servers_;  // the last one is the present one
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Keyed> keyed_;
  std::uint64_t last_serial_ = 0;
  std::uint64_t last_key_ = 0;
  TimePoint silent_until_;
  bool faults_ = true;
  bool over_ = false;
};

}  // namespace trunkline::sim
