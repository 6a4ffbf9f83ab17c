// SPDX-License-Identifier: Apache-2.0
//
// How peers come, change their state, and go.
#include "core/assert.h"
#include "core/probe.h"
#include "peers/backoff.h"
#include "peers/machine.h"
#include "peers/milliseconds.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::peers {

void Peer::on_timer(TimePoint /*now*/) {
  machine.on_peer_timer(*this);
}

Group& Machine::group(NetKey key) {
  return groups_.try_emplace(key, std::size_t{1}).first->second;
}

const std::string& Machine::name_of(const Peer& peer) {
  return peer.record != nullptr ? *peer.record->text : peer.remote;
}

Peer& Machine::add(PeerKind kind, AddressRecord& record, NetKey group) {
  const PeerId id{++last_id_};
  Peer& peer = peers_.try_emplace(id.value, *this, id, kind).first->second;
  all_.push_back(peer);
  book_.use(record);
  peer.record = &record;
  peer.host = record.host;
  peer.group = group;
  peer.since = now_;
  join_group(peer);
  count(peer, 1);
  tell(PeerEventKind::kAdded, peer, {});
  return peer;
}

void Machine::count(const Peer& peer, std::ptrdiff_t by) {
  const auto change = static_cast<std::size_t>(by);  // −1 wraps around, and back
  kinds_[static_cast<std::size_t>(peer.kind)] += change;
  states_[static_cast<std::size_t>(peer.state)] += change;
  if (peer.kind == PeerKind::kAutomatic && peer.state == PeerState::kConnected) {
    automatic_connected_ += change;
  }
}

void Machine::join_group(Peer& peer) {
  if (peer.kind == PeerKind::kFeeler) {
    return;
  }
  Group& its = group(peer.group);
  ++(peer.is_inbound() ? its.inbound : its.outbound);
}

void Machine::leave_group(Peer& peer) {
  const auto found = groups_.find(peer.group);
  if (found == groups_.end()) {
    TRUNKLINE_ASSERT(peer.kind == PeerKind::kFeeler);
    return;
  }
  Group& its = found->second;
  if (peer.kind != PeerKind::kFeeler && !TRUNKLINE_MUTANT("group-kept")) {
    --(peer.is_inbound() ? its.inbound : its.outbound);
  }
  // One that fails in a row is remembered, unless there are as many of them as addresses.
  if (its.inbound + its.outbound == 0 &&
      (its.throttle.failures() == 0 || groups_.size() > options_.book_addresses_max)) {
    groups_.erase(found);
  }
}

void Machine::tell(PeerEvent event) {
  emit(Tell{std::move(event)});
}

void Machine::tell(PeerEventKind kind, const Peer& peer, std::string_view why) {
  tell(PeerEvent{.kind = kind,
                 .id = peer.id,
                 .peer = peer.kind,
                 .from = peer.state,
                 .to = peer.state,
                 .address = name_of(peer),
                 .text = std::string(why)});
}

void Machine::set_state(Peer& peer, PeerState to, std::string_view why) {
  const PeerState from = peer.state;
  count(peer, -1);
  peer.state = to;
  peer.since = now_;
  count(peer, 1);
  const bool waits = peer.is_armed();
  tell(PeerEvent{.kind = PeerEventKind::kState,
                 .id = peer.id,
                 .peer = peer.kind,
                 .from = from,
                 .to = to,
                 .address = name_of(peer),
                 .text = std::string(why),
                 .will_retry = waits,
                 .retry_in = waits ? in_ms(peer.due() - now_) : std::chrono::milliseconds{0}});
}

// To a state in which it waits for its next dial, by the formula of the backoff. Also after a
// connection that was good, or that the program ended: those who lose a server in one moment must
// not be back in one moment.
void Machine::set_waiting(Peer& peer, PeerState to, std::string_view why) {
  const std::uint32_t failures = std::max(peer.failures, 1U);
  if (!TRUNKLINE_MUTANT("retry-forgotten") || !random_.one_in(8)) {
    wheel_.arm(peer,
               now_ + retry_delay(failures, options_.retry_start, options_.retry_max, random_));
  }
  set_state(peer, to, why);
}

void Machine::on_peer_timer(Peer& peer) {
  if (peer.state != PeerState::kPending) {
    ++metrics_.retries;
    set_state(peer, PeerState::kPending, "due again");
  }
  make_ready(peer);
}

// Before it was connected; nothing of it comes later.
void Machine::cancel(Peer& peer, std::string_view why) {
  give_up_dial(peer);
  set_state(peer, PeerState::kCancelled, why);
  end(peer);
}

void Machine::lose(Peer& peer, Ending ending, std::string_view why) {
  const bool was_good = now_ - peer.since >= options_.good_after || TRUNKLINE_MUTANT("always-good");
  ++metrics_.disconnects;
  if (peer.record != nullptr && was_good) {
    peer.failures = 0;
    note_good_address(*peer.record);
  } else if (peer.record != nullptr && ending == Ending::kByPeer) {
    ++peer.failures;
    note_bad_address(*peer.record);
  }
  peer.last_error = why;
  const PeerId id = peer.id;
  const PeerKind kind = peer.kind;
  if (peer.kind == PeerKind::kPermanent && ending != Ending::kForGood) {
    peer.remote.clear();
    peer.host = peer.record->host;
    set_waiting(peer, PeerState::kDisconnected, why);
  } else {
    set_state(peer, PeerState::kDisconnected, why);
    end(peer);
  }
  emit(CloseConnection{id, kind, std::string(why)});
}

void Machine::end(Peer& peer) {
  leave_group(peer);
  count(peer, -1);
  AddressRecord* record = peer.record;
  peers_.erase(peers_.find(peer.id.value));
  if (record != nullptr) {
    book_.release(*record);
  }
}

}  // namespace trunkline::peers
