// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/peer_types.h>

#include "core/intrusive_list.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "peers/address_book.h"
#include "peers/dial_plan.h"
#include "peers/events.h"
#include "peers/throttle.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace trunkline::peers {

class Machine;
struct AllPeers;
struct PeerLine;

// One request or accepted connection. Pending, it either stands in the line of those that are ready
// to be dialled, or is being dialled, or its timer says when it may join the line (again).
struct Peer final : Timer, ListHook<AllPeers>, ListHook<PeerLine> {
  Peer(Machine& the_machine, PeerId the_id, PeerKind the_kind)
      : machine(the_machine), id(the_id), kind(the_kind) {}

  void on_timer(TimePoint now) override;

  [[nodiscard]] bool is_inbound() const { return kind == PeerKind::kInbound; }

  Machine& machine;
  const PeerId id;
  AddressRecord* record = nullptr;  // of all but inbound ones
  NetKey host;                      // what it is connected to, else what its address says
  NetKey group;
  DialId dial;        // that is under way; 0: none
  DialId connection;  // the dial that won the connection
  TimePoint since;    // of the state
  std::uint64_t dials = 0;
  std::uint32_t failures = 0;  // in a row
  const PeerKind kind;
  PeerState state = PeerState::kPending;
  bool is_protected = false;
  bool has_label = false;  // its group was given and does not change
  PeerMerit merit;
  std::string remote;
  std::string last_error;
};

// From the first question to the resolver until an attempt has won or none is left.
struct Dial final : Timer {
  Dial(Machine& the_machine, DialId the_id, Peer& the_peer)
      : machine(the_machine), id(the_id), peer(the_peer) {}

  void on_timer(TimePoint now) override;

  Machine& machine;
  const DialId id;
  Peer& peer;
  DialPlan plan;
  TimePoint deadline;
};

// What the members of a network share.
struct Group {
  explicit Group(std::size_t window) : throttle(window) {}

  std::size_t outbound = 0;  // requests of all kinds but feelers
  std::size_t inbound = 0;
  Throttle throttle;
};

}  // namespace trunkline::peers
