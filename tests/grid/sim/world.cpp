// SPDX-License-Identifier: Apache-2.0
#include "grid/sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace trunkline::grid::sim {

namespace {

using namespace std::chrono_literals;

constexpr Duration kTrouble = 12s;
constexpr Duration kHealing = 90s;
constexpr Duration kDraining = 5s;

// Small numbers, so that every border is met often.
Rules random_rules(Random& random) {
  Rules rules;
  rules.has_faults = !random.one_in(4);
  NodeOptions& options = rules.options;
  MuxOptions& mux = options.mux;
  mux.limits.frame_bytes_max = 4096U << random.below(3);
  mux.limits.message_bytes_max = 150'000;
  mux.limits.calls_max = static_cast<std::uint32_t>(2 + random.below(60));
  mux.limits.stream_window = static_cast<std::uint32_t>(1024 + random.below(4000));
  mux.limits.connection_window = 65'536 + random.below(100'000);
  mux.chunk_bytes = 512 + random.below(6000);
  mux.stream_window_max = mux.limits.stream_window * (1 + random.below(4));
  mux.handlers_max = 2 + random.below(30);
  mux.calls_max = 2 + random.below(60);
  mux.unsent_bytes_max = 50'000 + random.below(500'000);
  mux.stream_unsent_bytes = 1000 + random.below(10'000);
  mux.stream_rescue_max = 20'000;
  mux.stream_stall = 5s;
  mux.ping_interval = 1s;
  mux.write_deadline = 3s;
  options.identity.limits = mux.limits;
  options.identity.secret = "the secret of the simulation";
  options.identity.wants_checksum = random.one_in(3);
  options.memory_bytes_max = 60'000 + random.below(600'000);
  options.handshake_deadline = 1s;
  options.probe_timeout = 200ms;
  rules.has_changes = random.one_in(2);
  options.reverse_dial_after = rules.has_faults && !random.one_in(3) ? 500ms : 1ms;
  return rules;
}

}  // namespace

World::World(std::uint64_t seed, bool print_trace)
    : schedule_(seed),
      print_trace_(print_trace),
      rules_(random_rules(schedule_.random)),
      network_(schedule_, *this) {
  const std::size_t count = 3 + schedule_.random.below(schedule_.random.one_in(3) ? 5 : 2);
  for (std::size_t index = 0; index < count; ++index) {
    NodeWorld& world = *this;
    nodes_.push_back(std::make_unique<SimNode>(index, rules_, schedule_, network_, ledger_, world));
    names_.push_back(nodes_.back()->name());
  }
}

void World::fail_check(std::string check, std::string detail) {
  if (outcome_.check.empty()) {
    outcome_.check = std::move(check);
    outcome_.detail = std::move(detail);
  }
}

void World::note(const std::string& line) {
  schedule_.trace(line);
  if (print_trace_) {
    std::printf("%10.6f %s\n",
                std::chrono::duration<double>(schedule_.now().time_since_epoch()).count(),
                line.c_str());
  }
}

void World::start(std::size_t node) {
  note(fmt::format("{} starts", nodes_[node]->name()));
  nodes_[node]->start(names_);
}

void World::start_again(std::size_t node) {
  if (!nodes_[node]->is_up()) {
    start(node);
  }
}

// --- the network ---

void World::on_arrived(const LinkEnd& end, const std::string& message) {
  SimNode& node = *nodes_[end.node];
  if (node.is_up() && node.life() == end.life) {
    node.turn([&] { node.core().received(end.id, message); });
  }
}

void World::on_progress(const LinkEnd& end, bool is_idle) {
  SimNode& node = *nodes_[end.node];
  if (node.is_up() && node.life() == end.life) {
    node.turn([&] {
      if (is_idle) {
        node.core().socket_idle(end.id);
      } else {
        node.core().socket_progressed(end.id);
      }
      node.has_room(end.id);
    });
  }
}

void World::on_lost(const LinkEnd& end) {
  SimNode& node = *nodes_[end.node];
  if (node.is_up() && node.life() == end.life) {
    note(fmt::format("{} hears the end of {}", node.name(), end.id));
    node.turn([&] { node.core().disconnected(end.id, "the network has lost it"); });
    dial_soon(end.node, {});
  }
}

// An empty name: whoever is wanted.
void World::dial_soon(std::size_t node, const std::string& peer) {
  for (std::size_t to = 0; to < nodes_.size(); ++to) {
    if (to != node && (peer.empty() || names_[to] == peer)) {
      const std::uint64_t life = nodes_[node]->life();
      schedule_.after(schedule_.between(1ms, 300ms), [this, node, to, life] {
        if (nodes_[node]->is_up() && nodes_[node]->life() == life &&
            nodes_[node]->wants(names_[to])) {
          dial(node, to, false);
        }
      });
    }
  }
}

void World::dial(std::size_t from, std::size_t to, bool even_if_connected) {
  SimNode& dialler = *nodes_[from];
  SimNode& acceptor = *nodes_[to];
  for (const auto& wire : network_.all()) {
    const bool is_same = wire->ends[0].is_open && wire->ends[0].node == from &&
                         wire->ends[0].life == dialler.life() && wire->ends[1].node == to;
    if (is_same && !even_if_connected) {
      return;
    }
  }
  if (!acceptor.is_up() || walls_.contains({from, to})) {
    dial_soon(from, names_[to]);
    return;
  }
  const auto wire = network_.connect(from, dialler.life(), to, acceptor.life());
  if (is_troubled_ && rules_.has_faults && schedule_.random.one_in(12)) {
    wire->is_silent = true;  // connects, and then never a word
  }
  const auto nonce = [this] {
    Nonce fresh{};
    for (std::uint8_t& byte : fresh) {
      byte = static_cast<std::uint8_t>(schedule_.random.below(256));
    }
    return fresh;
  };
  note(fmt::format("{} dials {}", dialler.name(), acceptor.name()));
  acceptor.turn(
      [&] { wire->ends[1].id = acceptor.core().connected(Side::kAcceptor, {}, nonce()); });
  dialler.turn([&] {
    wire->ends[0].id = dialler.core().connected(Side::kDialler, acceptor.name(), nonce());
  });
}

// --- what happens ---

Asked World::something(std::uint64_t key) {
  Random& random = schedule_.random;
  Asked asked;
  asked.key = key;
  asked.think = random.one_in(3) ? Duration{0} : schedule_.between(0ms, 400ms);
  asked.is_slow_reader = random.one_in(3);
  const std::uint64_t luck = random.below(20);
  if (random.one_in(2)) {
    asked.kind = CallKind::kRequest;
    asked.plan = luck == 0 ? Plan::kSleep : luck < 3 ? Plan::kFail : Plan::kEcho;
    asked.answer_bytes = random.one_in(4) ? random.below(120'000) : random.below(600);
    return asked;
  }
  asked.kind = CallKind::kStream;
  asked.plan = luck == 0   ? Plan::kSleep
               : luck < 3  ? Plan::kFail
               : luck < 8  ? Plan::kEcho
               : luck < 11 ? Plan::kIn
               : luck < 15 ? Plan::kOut
                           : Plan::kBoth;
  asked.messages_in = static_cast<unsigned>(random.below(random.one_in(3) ? 60 : 8));
  asked.messages_out = static_cast<unsigned>(random.below(random.one_in(3) ? 60 : 8));
  if (asked.plan == Plan::kBoth) {
    // What both may have to hold before either reads.
    asked.messages_in = asked.messages_out = static_cast<unsigned>(random.below(20));
    asked.message_bytes = random.below(700);
  } else {
    asked.message_bytes = random.one_in(5) ? random.below(60'000) : random.below(700);
  }
  if (asked.plan == Plan::kOut) {
    asked.messages_in = 0;
  }
  return asked;
}

void World::call_something() {
  const std::size_t from = some_node();
  const std::size_t to = some_node();
  SimNode& caller = *nodes_[from];
  if (from == to || !caller.is_up()) {
    return;
  }
  const Asked asked = something(++last_key_);
  const Duration timeout = schedule_.random.one_in(2) ? Duration{0} : schedule_.between(1ms, 3s);
  const std::size_t padding =
      schedule_.random.one_in(5) ? schedule_.random.below(100'000) : schedule_.random.below(300);
  const bool waits = schedule_.random.one_in(3);
  caller.turn([&] { caller.call(asked, to, names_[to], timeout, padding, waits); });
  if (schedule_.random.one_in(5)) {
    caller.later(schedule_.between(0ms, 500ms), [&caller] { caller.cancel_some(); });
  }
}

void World::plan_calls() {
  if (!is_troubled_) {
    return;
  }
  // Now and then many at once.
  const std::uint64_t count = schedule_.random.one_in(10) ? 20 : 1;
  for (std::uint64_t number = 0; number < count; ++number) {
    call_something();
  }
  schedule_.after(schedule_.between(0ms, 150ms), [this] { plan_calls(); });
}

void World::break_something() {
  const auto wires = network_.all();
  const std::uint64_t luck = schedule_.random.below(10);
  if (luck < 6 && !wires.empty()) {
    const auto& wire = wires[schedule_.random.below(wires.size())];
    if (luck < 2) {
      note("a wire is cut");
      network_.cut(wire);
    } else if (luck < 5) {
      note("a wire stalls");
      wire->stalled_until = schedule_.now() + schedule_.between(10ms, 4s);
    } else {
      note("a wire goes silent");
      wire->is_silent = true;
    }
  } else if (luck < 8) {
    const std::size_t from = some_node();
    const std::size_t to = some_node();
    if (from != to && nodes_[from]->is_up()) {
      dial(from, to, true);
    }
  } else {
    const std::size_t node = some_node();
    if (nodes_[node]->is_up()) {
      note(fmt::format("{} is killed", nodes_[node]->name()));
      nodes_[node]->crash();
      schedule_.after(schedule_.between(0ms, 2s), [this, node] { start_again(node); });
    }
  }
}

void World::plan_faults() {
  if (is_troubled_ && rules_.has_faults) {
    break_something();
    schedule_.after(schedule_.between(1ms, 1500ms), [this] { plan_faults(); });
  }
}

void World::run_for(Duration duration) {
  schedule_.run_until(schedule_.now() + duration, [this] {
    if (!ledger_.wrong().empty()) {
      fail_check("promise", ledger_.wrong());
    }
    return outcome_.check.empty();
  });
}

void World::check_connected() {
  for (const auto& node : nodes_) {
    if (const std::string running = node->still_running(); !running.empty()) {
      fail_check("handlers", fmt::format("{} runs for nobody: {}", node->name(), running));
    }
    node->core().for_each_peer([&](const PeerStatus& peer) {
      if (!peer.is_connected) {
        fail_check("liveness", fmt::format("{} has no connection to {}: {}", node->name(),
                                           peer.name, peer.last_error));
      }
    });
  }
}

void World::check_left_over() {
  for (const auto& node : nodes_) {
    node->turn([] {});  // what has ended in the last one is swept in the next
    if (const std::string left = node->left_over(); !left.empty()) {
      fail_check("left over", fmt::format("{}: {}", node->name(), left));
    }
  }
}

Outcome World::run() {
  if (rules_.has_faults && schedule_.random.one_in(2)) {
    walls_.insert({some_node(), some_node()});
  }
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    schedule_.after(schedule_.between(0ms, 100ms), [this, node] { start(node); });
  }
  schedule_.after(101ms, [this] {
    plan_calls();
    plan_faults();
    if (rules_.has_changes) {
      plan_changes();
    }
  });
  run_for(kTrouble);
  is_troubled_ = false;
  network_.heal();
  run_for(3s);  // those who were down are up again
  for (const auto& node : nodes_) {
    node->turn([&node] { node->cancel_sleepers(); });
  }
  run_for(kHealing);
  if (outcome_.check.empty() && ledger_.open_count() > 0) {
    fail_check("liveness",
               fmt::format("{} calls never end: {}", ledger_.open_count(), ledger_.first_open()));
  }
  if (outcome_.check.empty()) {
    check_connected();
    for (const auto& node : nodes_) {
      node->drain(schedule_.now() + kDraining);
    }
    run_for(2 * kDraining);
    check_left_over();
  }
  outcome_.trace_hash = schedule_.trace_hash();
  outcome_.steps = schedule_.events();
  return outcome_;
}

}  // namespace trunkline::grid::sim
