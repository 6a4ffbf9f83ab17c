// SPDX-License-Identifier: Apache-2.0
#include "grid/sim/reserved.h"

namespace trunkline::grid::sim {

namespace {

// An explicit instantiation may name what is private: member_of() gives it to this file.
template <class Which, auto kMember>
struct Reveal {
  friend auto member_of(Which) { return kMember; }
};

struct Calls {
  friend auto member_of(Calls);
};

struct Connections {
  friend auto member_of(Connections);
};

struct Orphans {
  friend auto member_of(Orphans);
};

template struct Reveal<Calls, &Mux::slots_>;
template struct Reveal<Connections, &NodeCore::connections_>;
template struct Reveal<Orphans, &NodeCore::orphans_>;

std::size_t reserved_of(const Mux& mux) {
  std::size_t sum = 0;
  for (const auto& call : mux.*member_of(Calls{})) {
    sum += call->reserved + (call->in != nullptr ? call->in->reserved : 0);
  }
  return sum;
}

}  // namespace

std::size_t reserved_of(const NodeCore& core) {
  std::size_t sum = 0;
  for (const auto& [id, connection] : core.*member_of(Connections{})) {
    sum += connection->mux != nullptr ? reserved_of(*connection->mux) : 0;
  }
  for (const auto& orphan : core.*member_of(Orphans{})) {
    sum += reserved_of(*orphan);
  }
  return sum;
}

}  // namespace trunkline::grid::sim
