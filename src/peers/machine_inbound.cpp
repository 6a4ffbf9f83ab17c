// SPDX-License-Identifier: Apache-2.0
//
// Accepted connections: who gets in, who has to make room, when the listeners pause. And the high
// watermark over everything that is connected.
#include "core/probe.h"
#include "peers/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::peers {

Result<PeerId> Machine::on(Accepted& accepted) {
  if (!is_running()) {
    return fail(ErrorCode::kClosed, "not running");
  }
  const NetKey host = host_of(accepted.remote);
  const NetKey key = group_of(accepted.remote, prefixes_);
  if (reputation_.standing(host, now_) == Standing::kBanned) {
    return refuse(accepted.remote, metrics_.refused_banned, ErrorCode::kPermissionDenied, "banned");
  }
  const bool is_exempt = key.family == NetKey::Family::kLoopback || reputation_.is_allowed(host);
  const auto its = groups_.find(key);
  if (options_.inbound_per_group > 0 && !is_exempt && its != groups_.end() &&
      its->second.inbound >= options_.inbound_per_group) {
    return refuse(accepted.remote, metrics_.refused_group, ErrorCode::kLimitExceeded,
                  "too many connections from its network");
  }
  const bool is_full = options_.inbound_max > 0 &&
                       of_kind(PeerKind::kInbound) >= options_.inbound_max &&
                       !TRUNKLINE_MUTANT("inbound-without-limit");
  if (is_full && !make_room()) {
    pause_listeners();
    return refuse(accepted.remote, metrics_.refused_full, ErrorCode::kLimitExceeded,
                  "too many connections");
  }
  const PeerId id{++last_id_};
  Peer& peer = peers_.try_emplace(id.value, *this, id, PeerKind::kInbound).first->second;
  all_.push_back(peer);
  inbound_.push_back(peer);
  peer.host = host;
  peer.group = key;
  peer.since = now_;
  peer.state = PeerState::kConnected;
  peer.remote = to_string(accepted.remote);
  join_group(peer);
  count(peer, 1);
  ++metrics_.accepted;
  tell(PeerEventKind::kAdded, peer, {});
  emit(Surface{id, {}, PeerKind::kInbound});
  // Without eviction nobody else could get in: let them wait in the listeners' queues.
  if (!options_.evict_inbound && options_.inbound_max > 0 &&
      of_kind(PeerKind::kInbound) >= options_.inbound_max) {
    pause_listeners();
  }
  return id;
}

Result<PeerId> Machine::refuse(const PeerEndpoint& remote, std::uint64_t& counter, ErrorCode code,
                               std::string_view why) {
  ++counter;
  tell(PeerEvent{.kind = PeerEventKind::kInboundRefused,
                 .peer = PeerKind::kInbound,
                 .address = to_string(remote),
                 .text = std::string(why)});
  return fail(code, std::string(why));
}

Candidate Machine::candidate(const Peer& peer) const {
  return {peer.id, peer.group, reputation_.standing(peer.host, now_) != Standing::kGood, peer.since,
          peer.merit};
}

// Closes the inbound connection that is worth least; false when all are worth keeping.
bool Machine::make_room() {
  if (!options_.evict_inbound) {
    return false;
  }
  std::vector<Candidate> candidates;
  for (Peer* peer = inbound_.front(); peer != nullptr; peer = inbound_.after(*peer)) {
    if (!peer->is_protected && !reputation_.is_allowed(peer->host)) {
      candidates.push_back(candidate(*peer));
    }
  }
  const std::optional<PeerId> victim = choose_victim(std::move(candidates), salt_);
  if (!victim.has_value()) {
    return false;
  }
  TRUNKLINE_SOMETIMES("an inbound connection makes room");
  Peer& peer = peers_.at(victim->value);
  ++metrics_.evicted;
  tell(PeerEventKind::kEvicted, peer, "evicted");
  lose(peer, Ending::kForGood, "evicted");
  return true;
}

void Machine::pause_listeners() {
  if (options_.evict_inbound) {
    wheel_.arm(pause_timer_, now_ + options_.inbound_pause);
  }
  if (is_paused_) {
    return;
  }
  is_paused_ = true;
  ++metrics_.listener_pauses;
  emit(PauseListeners{});
  tell(PeerEvent{.kind = PeerEventKind::kListenersPaused});
}

void Machine::end_pause() {
  if (std::exchange(is_paused_, false)) {
    emit(ResumeListeners{});
    tell(PeerEvent{.kind = PeerEventKind::kListenersResumed});
  }
}

void Machine::resume_if_room() {
  if (is_paused_ && of_kind(PeerKind::kInbound) < options_.inbound_max &&
      !TRUNKLINE_MUTANT("listeners-stay-paused")) {
    wheel_.disarm(pause_timer_);
    end_pause();
  }
}

// Down to the low watermark, as far as those go that may be closed; not more often than the
// interval says, since a burst of new connections needs the time to show what they are worth.
void Machine::trim() {
  const std::size_t connected = in_state(PeerState::kConnected);
  if (options_.high_water == 0 || connected <= options_.high_water) {
    return;
  }
  if (now_ < next_trim_) {
    wheel_.arm(trim_timer_, next_trim_);
    return;
  }
  next_trim_ = now_ + options_.trim_interval;
  std::vector<Candidate> candidates;
  for (Peer* peer = all_.front(); peer != nullptr; peer = all_.after(*peer)) {
    const bool may_go = peer->is_inbound() || peer->kind == PeerKind::kOnce;
    if (may_go && peer->state == PeerState::kConnected && !peer->is_protected &&
        now_ - peer->since >= options_.grace_period) {
      candidates.push_back(candidate(*peer));
    }
  }
  for (const PeerId id : choose_trimmed(std::move(candidates), connected - options_.low_water)) {
    TRUNKLINE_SOMETIMES("the high watermark");
    Peer& peer = peers_.at(id.value);
    ++metrics_.trimmed;
    tell(PeerEventKind::kTrimmed, peer, "over the high watermark");
    lose(peer, Ending::kForGood, "over the high watermark");
  }
  if (in_state(PeerState::kConnected) > options_.high_water) {
    wheel_.arm(trim_timer_, next_trim_);
  }
}

}  // namespace trunkline::peers
