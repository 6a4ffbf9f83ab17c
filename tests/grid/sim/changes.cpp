// SPDX-License-Identifier: Apache-2.0
//
// What operators do while load goes on: peers are removed and added again, a node is drained and
// started anew.
#include "grid/sim/world.h"

#include <fmt/format.h>

namespace trunkline::grid::sim {

using namespace std::chrono_literals;

namespace {

// After the end of a drain, for handlers that were stopped then.
constexpr Duration kLastSteps = 1s;

}  // namespace

void World::plan_changes() {
  if (!is_troubled_) {
    return;
  }
  if (schedule_.random.one_in(6)) {
    drain_one();
  } else {
    remove_one();
  }
  schedule_.after(schedule_.between(100ms, 3s), [this] { plan_changes(); });
}

void World::remove_one() {
  const std::size_t node = some_node();
  const std::size_t peer = some_node();
  SimNode& its = *nodes_[node];
  if (node == peer || !its.is_up()) {
    return;
  }
  note(fmt::format("{} removes {}", its.name(), names_[peer]));
  its.turn([&] {
    ledger_.removed(node, peer);
    static_cast<void>(its.core().remove_peer(names_[peer]));
  });
  its.later(schedule_.between(0ms, 1500ms), [this, &its, node, peer] {
    // Somebody else may have removed it, too, and added it again.
    note(fmt::format("{} adds {}", its.name(), names_[peer]));
    ledger_.added(node, peer);
    static_cast<void>(its.core().add_peer(names_[peer]));
  });
}

void World::drain_one() {
  const std::size_t node = some_node();
  SimNode& its = *nodes_[node];
  if (!its.is_up() || its.is_draining()) {
    return;
  }
  const Duration time = schedule_.between(100ms, 2s);
  note(fmt::format("{} is drained", its.name()));
  ledger_.parted(node);
  its.drain(schedule_.now() + time);
  its.later(time + kLastSteps, [this, &its, node] {
    if (const std::string left = its.left_behind(); !left.empty()) {
      fail_check("left over", fmt::format("{} is drained and has {}", its.name(), left));
      return;
    }
    restart(node);
  });
}

// What has ended is no more, and comes again.
void World::restart(std::size_t node) {
  schedule_.after(schedule_.between(0ms, 300ms), [this, node, life = nodes_[node]->life()] {
    if (nodes_[node]->is_up() && nodes_[node]->life() == life) {
      nodes_[node]->crash();
      schedule_.after(schedule_.between(0ms, 1s), [this, node] { start_again(node); });
    }
  });
}

}  // namespace trunkline::grid::sim
