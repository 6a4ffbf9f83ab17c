// SPDX-License-Identifier: Apache-2.0
//
// Penalties and bans: what becomes of the connections and dials of a host.
#include "core/probe.h"
#include "peers/machine.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace trunkline::peers {

namespace {

// "192.0.2.1" of "192.0.2.1:80".
std::string host_part(std::string_view address) {
  return std::string(address.substr(0, address.rfind(':')));
}

}  // namespace

Result<PeerId> Machine::on(Penalize& penalty) {
  const Result<NetKey> host = key_of_host(penalty.host);
  if (!host.has_value()) {
    return std::unexpected(host.error());
  }
  penalize(*host, penalty.host, penalty.lasting, penalty.decaying);
  return PeerId{};
}

Result<PeerId> Machine::on(PenalizePeer& penalty) {
  const Result<Peer*> found = peer_of(penalty.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  const Peer& peer = **found;
  const std::string name = host_part(peer.remote.empty() ? name_of(peer) : peer.remote);
  penalize(peer.host, name, penalty.lasting, penalty.decaying);
  return penalty.id;
}

void Machine::penalize(NetKey host, std::string_view name, double lasting, double decaying) {
  const std::optional<Standing> became = reputation_.penalize(host, name, lasting, decaying, now_);
  if (became == Standing::kBanned) {
    enforce_ban(host, name);
  } else if (became == Standing::kDiscouraged) {
    tell(PeerEvent{.kind = PeerEventKind::kDiscouraged, .address = std::string(name)});
  }
}

Result<PeerId> Machine::on(Ban& ban) {
  const Result<NetKey> host = key_of_host(ban.host);
  if (!host.has_value()) {
    return std::unexpected(host.error());
  }
  if (reputation_.is_allowed(*host)) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{} is on the list of those allowed", ban.host));
  }
  if (reputation_.ban(*host, ban.host, ban.duration.value_or(options_.ban_duration), now_)) {
    enforce_ban(*host, ban.host);
  } else {
    arm_bans();
  }
  return PeerId{};
}

Result<PeerId> Machine::on(Forgive& forgive) {
  const Result<NetKey> host = key_of_host(forgive.host);
  if (!host.has_value()) {
    return std::unexpected(host.error());
  }
  if (!reputation_.forgive(*host, now_)) {
    return fail(ErrorCode::kNotFound, fmt::format("{} is not banned", forgive.host));
  }
  tell(PeerEvent{.kind = PeerEventKind::kBanEnded, .address = forgive.host, .text = "forgiven"});
  arm_bans();
  return PeerId{};
}

Result<PeerId> Machine::on(Allow& allow) {
  const Result<NetKey> host = key_of_host(allow.host);
  if (!host.has_value()) {
    return std::unexpected(host.error());
  }
  reputation_.allow(*host);
  return PeerId{};
}

// Its connections and dials end. Permanent requests stay and are dialled when the ban has ended.
void Machine::enforce_ban(NetKey host, std::string_view name) {
  ++metrics_.bans;
  tell(PeerEvent{.kind = PeerEventKind::kBanned, .address = std::string(name)});
  std::vector<PeerId> concerned;
  for (Peer* peer = all_.front(); peer != nullptr; peer = all_.after(*peer)) {
    if (peer->host == host || (peer->record != nullptr && peer->record->host == host)) {
      concerned.push_back(peer->id);
    }
  }
  for (const PeerId id : concerned) {
    Peer& peer = peers_.at(id.value);
    if (peer.state == PeerState::kConnected) {
      lose(peer, Ending::kByProgram, "banned");
    } else if (peer.kind != PeerKind::kPermanent) {
      cancel(peer, "banned");
    } else if (peer.dial != DialId{}) {
      TRUNKLINE_SOMETIMES("a ban of a host that is being dialled");
      give_up_dial(peer);
      make_ready(peer);
    }
  }
  arm_bans();
}

void Machine::arm_bans() {
  wheel_.disarm(ban_timer_);
  if (const std::optional<TimePoint> next = reputation_.next_end();
      next.has_value() && phase_ == Phase::kRunning) {
    wheel_.arm(ban_timer_, *next);
  }
}

void Machine::end_bans() {
  for (std::string& name : reputation_.take_ended(now_)) {
    tell(PeerEvent{.kind = PeerEventKind::kBanEnded, .address = std::move(name)});
  }
  arm_bans();
}

}  // namespace trunkline::peers
