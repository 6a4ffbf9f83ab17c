// SPDX-License-Identifier: Apache-2.0
//
// The node's loop: turns, what is sent, what the core wants of the world.
#include "grid/sim/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid::sim {

using namespace std::chrono_literals;

SimNode::SimNode(std::size_t index, const Rules& rules, trunkline::sim::Schedule& schedule,
                 Network& network, Ledger& ledger, NodeWorld& world)
    : index_(index),
      name_(fmt::format("node-{}:7000", index)),
      rules_(rules),
      options_(rules.options),
      schedule_(schedule),
      network_(network),
      ledger_(ledger),
      world_(world) {}

void SimNode::start(const std::vector<std::string>& names) {
  ++life_;
  skew_ = schedule_.between(-4min, 4min) / 2;
  options_.identity.name = name_;
  for (std::uint8_t& byte : options_.identity.instance) {
    byte = static_cast<std::uint8_t>(1 + schedule_.random.below(255));
  }
  core_ = std::make_unique<NodeCore>(options_, *this, schedule_.now());
  turn([&] {
    for (const std::string& name : names) {
      if (name != name_) {
        static_cast<void>(core_->add_peer(name));
      }
    }
  });
}

void SimNode::drain(TimePoint until) {
  is_draining_ = true;
  turn([&] { core_->drain(until); });
}

void SimNode::crash() {
  is_draining_ = false;
  ledger_.crashed(index_);
  flows_.clear();
  waiting_.clear();
  wanted_.clear();
  dirty_.clear();
  blocked_.clear();
  core_.reset();
  ++life_;
  network_.crash(index_);
}

Now SimNode::now() const {
  return {schedule_.now(),
          WallTime(1'000'000'000s) + std::chrono::duration_cast<std::chrono::milliseconds>(
                                         schedule_.now().time_since_epoch() + skew_)};
}

void SimNode::turn(const std::function<void()>& run) {
  if (core_ == nullptr) {
    return;
  }
  if (is_in_turn_) {
    run();
    return;
  }
  is_in_turn_ = true;
  core_->advance(now());
  run();
  flush();
  is_in_turn_ = false;
  if (const std::string wrong = check(); !wrong.empty()) {
    ledger_.complain(fmt::format("{}: {}", name_, wrong));
  }
  arm_wakeup();
}

void SimNode::later(Duration delay, std::function<void()> run) {
  schedule_.after(delay, [this, life = life_, run = std::move(run)] {
    if (life == life_) {
      turn(run);
    }
  });
}

void SimNode::arm_wakeup() {
  const auto next = core_->next_wakeup();
  ++wakeups_;
  if (next.has_value()) {
    schedule_.at(*next, [this, number = wakeups_, life = life_] {
      if (number == wakeups_ && life == life_) {
        turn([] {});
      }
    });
  }
}

void SimNode::flush() {
  for (int round = 0; round < 1000 && !dirty_.empty(); ++round) {
    const std::set<ConnectionId> dirty = std::exchange(dirty_, {});
    for (const ConnectionId id : dirty) {
      flush(id);
    }
  }
  if (!dirty_.empty()) {
    ledger_.complain(name_ + " never stops writing");
  }
}

void SimNode::flush(ConnectionId id) {
  while (core_->wants_write(id)) {
    const std::shared_ptr<Wire> wire = network_.find(index_, life_, id);
    if (wire == nullptr) {
      return;
    }
    const int from = wire->ends[0].node == index_ && wire->ends[0].id == id ? 0 : 1;
    if (Network::room(*wire, from) < kFrameBytesMin) {
      blocked_.insert(id);
      core_->socket_blocked(id);
      return;
    }
    std::string message;
    core_->gather(id, message, 4096 + schedule_.random.below(16'000));
    if (message.empty()) {
      ledger_.complain(fmt::format("{} wants to write and has nothing to say", name_));
      return;
    }
    network_.send(wire, from, std::move(message));
  }
}

void SimNode::on_close(ConnectionId id, const std::string& last, std::string_view reason) {
  world_.note(fmt::format("{} closes {}: {}", name_, id, reason));
  const std::shared_ptr<Wire> wire = network_.find(index_, life_, id);
  if (wire == nullptr) {
    return;
  }
  const int from = wire->ends[0].node == index_ && wire->ends[0].id == id ? 0 : 1;
  if (!last.empty()) {
    network_.send(wire, from, last);
  }
  network_.close(wire, from);
  if (from == 0) {
    world_.dial_soon(index_, "");
  }
}

void SimNode::on_dial(const std::string& peer, bool wanted) {
  if (wanted) {
    wanted_.insert(peer);
    world_.dial_soon(index_, peer);
  } else {
    wanted_.erase(peer);
  }
}

void SimNode::on_peer(const std::string& peer, bool is_connected, std::string_view why) {
  world_.note(fmt::format("{} {} {} {}", name_, is_connected ? "has" : "loses", peer, why));
}

void SimNode::on_refused(std::string_view peer, const Refusal& refusal, bool by_peer) {
  world_.note(fmt::format("{} refused {} {} '{}': {}", name_, by_peer ? "by" : "", peer,
                          trunkline::grid::name(refusal.code), refusal.text));
}

std::string SimNode::check() const {
  if (std::string wrong = core_->check(); !wrong.empty()) {
    return wrong;
  }
  std::size_t unread = 0;
  for (const auto& [token, flow] : flows_) {
    unread += flow.unread_bytes;
    // A timer may be a tick late.
    if (!flow.is_caller && !flow.is_stopped && flow.deadline != TimePoint::max() &&
        flow.deadline + 2 * TimerWheel::kTick < schedule_.now()) {
      return fmt::format("the handler of call {} was not stopped in time", flow.asked.key);
    }
  }
  if (unread > core_->pool().used()) {
    return fmt::format("{} bytes are held, {} were reserved", unread, core_->pool().used());
  }
  return {};
}

std::string SimNode::still_running() const {
  return flows_.empty() ? ""
                        : fmt::format("{} calls, the first of key {}", flows_.size(),
                                      flows_.begin()->second.asked.key);
}

std::string SimNode::left_behind() const {
  if (std::string calls = still_running(); !calls.empty()) {
    return calls;
  }
  if (core_->pool().used() + core_->waiter_count() + core_->orphan_count() > 0) {
    return fmt::format("{} bytes, {} waiters, {} lost connections", core_->pool().used(),
                       core_->waiter_count(), core_->orphan_count());
  }
  return {};
}

std::string SimNode::left_over() const {
  if (std::string left = left_behind(); !left.empty()) {
    return left;
  }
  if (core_->connection_count() > 0) {
    return fmt::format("{} connections", core_->connection_count());
  }
  return core_->is_drained() ? "" : "it is not drained";
}

}  // namespace trunkline::grid::sim
