// SPDX-License-Identifier: Apache-2.0
//
// One run: a machine, a network in which dials succeed, fail, hang and come too late, connections
// that are lost, and a program that asks for anything at any moment. Then the network heals, and
// everything that should be connected has to be; then a stop, after which nothing may be left.
#pragma once

#include "core/time.h"
#include "peers/machine.h"
#include "peers/sim/model.h"
#include "sim/schedule.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::peers::sim {

struct Outcome {
  std::string check;  // empty: all held
  std::string detail;
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
};

class World {
 public:
  World(std::uint64_t seed, bool print_trace);
  Outcome run();

 private:
  struct Attempt {
    StartAttempt start;
    bool is_given_up = false;
  };

  Result<PeerId> step(Event event);
  void perform_all();
  void perform(NeedAddress& need);
  void perform(Resolve& resolve);
  void perform(StartAttempt& start);
  void perform(AbortDial& abort);
  void perform(Surface& surface);
  void perform(CloseConnection& close);
  void perform(PauseListeners& pause);
  void perform(ResumeListeners& resume);
  void perform(Tell& tell);
  void perform(Stopped& stopped);

  void answer(std::pair<DialId, std::size_t> key, bool success);
  void lose_sometime(PeerId id, DialId dial);
  void plan_program();
  void act();
  void ask_for_something();
  void end_something();
  void judge_something();
  void accept_one();
  void arm_wakeup();
  void after_step();
  void check_end();
  void fail_check(std::string check, std::string detail);
  [[nodiscard]] std::string some_address();
  [[nodiscard]] std::optional<PeerId> some_peer();

  trunkline::sim::Schedule schedule_;
  const bool print_trace_;
  const PeerOptions options_;
  std::unique_ptr<Machine> machine_;
  Effects effects_;
  std::deque<Effect> todo_;
  bool is_performing_ = false;
  bool is_healed_ = false;
  bool is_paused_ = false;
  bool has_stopped_ = false;
  std::uint64_t wakeups_ = 0;
  std::map<std::pair<DialId, std::size_t>, Attempt> attempts_;
  std::set<DialId> resolving_;
  Model model_;
  Outcome outcome_;
};

}  // namespace trunkline::peers::sim
