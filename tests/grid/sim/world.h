// SPDX-License-Identifier: Apache-2.0
//
// One run: some nodes, everybody a peer of everybody, calls and streams of every shape, and a
// network that delays, stalls, cuts and swallows while nodes are killed, drained and started again
// and peers removed and added. Then the trouble ends: every call has to end, every pair has to be
// connected; and after a drain nothing may be left.
#pragma once

#include "grid/sim/ledger.h"
#include "grid/sim/network.h"
#include "grid/sim/node.h"
#include "sim/schedule.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::grid::sim {

struct Outcome {
  std::string check;  // empty: all held
  std::string detail;
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
};

class World final : private NetworkEvents, private NodeWorld {
 public:
  World(std::uint64_t seed, bool print_trace);
  Outcome run();

 private:
  void on_arrived(const LinkEnd& end, const std::string& message) override;
  void on_progress(const LinkEnd& end, bool is_idle) override;
  void on_lost(const LinkEnd& end) override;
  void dial_soon(std::size_t node, const std::string& peer) override;
  void note(const std::string& line) override;

  void dial(std::size_t from, std::size_t to, bool even_if_connected);
  void plan_calls();
  void call_something();
  void plan_faults();
  void plan_changes();
  void remove_one();
  void drain_one();
  void restart(std::size_t node);
  void break_something();
  void start(std::size_t node);
  void start_again(std::size_t node);
  void check_connected();
  void check_left_over();
  [[nodiscard]] Asked something(std::uint64_t key);
  void run_for(Duration duration);
  void fail_check(std::string check, std::string detail);

  [[nodiscard]] std::size_t some_node() { return schedule_.random.below(nodes_.size()); }

  trunkline::sim::Schedule schedule_;
  const bool print_trace_;
  Rules rules_;
  Ledger ledger_;
  Network network_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::set<std::pair<std::size_t, std::size_t>> walls_;  // from, to: no dial gets through
  std::uint64_t last_key_ = 0;
  bool is_troubled_ = true;
  Outcome outcome_;
};

}  // namespace trunkline::grid::sim
