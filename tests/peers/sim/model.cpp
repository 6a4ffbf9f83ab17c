// SPDX-License-Identifier: Apache-2.0
#include "peers/sim/model.h"

#include "peers/backoff.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::peers::sim {

std::string host_text(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

std::string network_text(const std::string& address) {
  const std::size_t dot = address.find('.');
  return address.substr(0, address.find('.', dot + 1));
}

bool Model::is_banned(const std::string& host, TimePoint now) const {
  const auto found = banned_.find(host);
  return found != banned_.end() && found->second > now;
}

Model::Verdict Model::on_event(const PeerEvent& event, TimePoint now) {
  if (event.kind == PeerEventKind::kBreaker) {
    probes_.erase(event.address);
    if (event.breaker == BreakerState::kHalfOpen) {
      probes_[event.address] = 0;
    }
  }
  if (event.kind == PeerEventKind::kAdded) {
    if (peers_.contains(event.id)) {
      return fmt::format("id {} was used before", event.id.value);
    }
    Peer& peer = peers_[event.id];
    peer.kind = event.peer;
    peer.state = event.to;
    peer.address = event.address;
    peer.since = now;
    if (peer.kind == PeerKind::kInbound) {
      peer.connection = DialId{};
    }
    const bool was_asked_for = peer.kind == PeerKind::kOnce || peer.kind == PeerKind::kPermanent;
    peer.allows_duplicate = was_asked_for && next_allows_duplicate_;
    return check_share(peer);
  }
  if (event.kind != PeerEventKind::kState) {
    return std::nullopt;
  }
  const auto found = peers_.find(event.id);
  if (found == peers_.end() || found->second.is_over || found->second.state != event.from) {
    return fmt::format("peer {} went from a state in which it was not", event.id.value);
  }
  return on_state(found->second, event, now);
}

Model::Verdict Model::on_state(Peer& peer, const PeerEvent& event, TimePoint now) {
  const Duration was_in_state = now - peer.since;
  peer.state = event.to;
  peer.since = now;
  switch (event.to) {
    case PeerState::kConnected:
      failures_in_a_row_ = 0;
      last_slow_dial_.reset();
      break;
    case PeerState::kFailing:
      ++peer.failures;
      ++failures_in_a_row_;
      break;
    case PeerState::kDisconnected:
      if (peer.kind == PeerKind::kFeeler) {
        failures_in_a_row_ = 0;
        last_slow_dial_.reset();
      }
      if (event.from == PeerState::kConnected) {
        const bool was_good = was_in_state >= options_.good_after;
        peer.failures = was_good ? 0 : peer.failures + (peer.is_lost ? 1 : 0);
      }
      break;
    case PeerState::kCancelled:
      if (peer.connection.has_value()) {
        return fmt::format("peer {} is cancelled though it is connected", event.id.value);
      }
      break;
    case PeerState::kPending:
      break;
  }
  peer.is_lost = false;
  const bool may_wait = peer.kind == PeerKind::kPermanent;
  if (event.will_retry && !may_wait) {
    return fmt::format("peer {} is retried and not permanent", event.id.value);
  }
  peer.is_over =
      !event.will_retry && event.to != PeerState::kConnected && event.to != PeerState::kPending;
  return event.will_retry ? check_retry(peer, event) : std::nullopt;
}

Model::Verdict Model::check_retry(const Peer& peer, const PeerEvent& event) const {
  const Duration ceiling =
      retry_ceiling(std::max(peer.failures, 1U), options_.retry_start, options_.retry_max);
  if (event.retry_in > ceiling + std::chrono::milliseconds(1)) {
    return fmt::format("peer {} waits {} ms after {} failures", event.id.value,
                       event.retry_in.count(), peer.failures);
  }
  return std::nullopt;
}

Model::Verdict Model::check_share(const Peer& added) const {
  std::size_t share = 0;
  for (const auto& [id, peer] : peers_) {
    const bool counts =
        !peer.is_over && peer.kind != PeerKind::kFeeler && peer.kind != PeerKind::kInbound;
    share += counts && network_text(peer.address) == network_text(added.address) ? 1U : 0U;
  }
  if (added.kind == PeerKind::kAutomatic && share > options_.outbound_per_group) {
    return fmt::format("{} outbound in the network of {}", share, added.address);
  }
  return std::nullopt;
}

// Connections and dials of an address: one, and one for each request that allowed duplicates.
Model::Verdict Model::check_address(const std::string& address) const {
  std::size_t active = 0;
  std::size_t allowed = 1;
  for (const auto& [dial, of] : dials_) {
    active += of == address ? 1U : 0U;
  }
  for (const auto& [id, peer] : peers_) {
    if (peer.address == address && !peer.is_over && peer.kind != PeerKind::kInbound) {
      active += peer.connection.has_value() ? 1U : 0U;
      allowed += peer.allows_duplicate ? 1U : 0U;
    }
  }
  return active > allowed ? std::optional(fmt::format("{} for {}", active, address)) : std::nullopt;
}

Model::Verdict Model::on_dial(DialId dial, const std::string& address, TimePoint now) {
  if (!dials_.try_emplace(dial, address).second) {
    return std::nullopt;  // another attempt of it
  }
  if (is_banned(host_text(address), now)) {
    return fmt::format("{} is dialled though it is banned", address);
  }
  if (dials_.size() > options_.dials_in_flight_max) {
    return fmt::format("{} dials in flight", dials_.size());
  }
  if (const auto probe = probes_.find(address); probe != probes_.end() && ++probe->second > 1) {
    return fmt::format("{} probes of {}", probe->second, address);
  }
  if (options_.slow_after_failures > 0 && failures_in_a_row_ >= options_.slow_after_failures) {
    if (last_slow_dial_.has_value() && now - *last_slow_dial_ < options_.retry_start / 2) {
      return fmt::format("dials are not spaced after {} failures", failures_in_a_row_);
    }
    last_slow_dial_ = now;
  }
  return check_address(address);
}

Model::Verdict Model::on_dial_over(DialId dial) {
  dials_.erase(dial);
  return std::nullopt;
}

Model::Verdict Model::on_adopted(PeerId id, DialId dial, const std::string& address) {
  const auto found = peers_.find(id);
  if (found == peers_.end() || found->second.is_over || found->second.connection.has_value()) {
    return fmt::format("a connection for peer {}, which wants none", id.value);
  }
  if (found->second.kind == PeerKind::kFeeler || found->second.address != address) {
    return fmt::format("a connection to {} for peer {} of {}", address, id.value,
                       found->second.address);
  }
  found->second.connection = dial;
  found->second.has_surfaced = false;
  return std::nullopt;
}

Model::Verdict Model::on_surface(PeerId id, DialId dial) {
  Peer& peer = peers_[id];
  if (peer.has_surfaced || peer.connection != dial || peer.state != PeerState::kConnected) {
    return fmt::format("peer {} surfaces and should not", id.value);
  }
  peer.has_surfaced = true;
  return std::nullopt;
}

Model::Verdict Model::on_close(PeerId id) {
  Peer& peer = peers_[id];
  if (!peer.connection.has_value() || !peer.has_surfaced) {
    return fmt::format("peer {} is closed and was not open", id.value);
  }
  peer.connection.reset();
  peer.has_surfaced = false;
  return std::nullopt;
}

Model::Verdict Model::totals(const PeerCounts& counts, bool is_paused) const {
  if (counts.automatic > options_.target_outbound) {
    return fmt::format("{} automatic peers, the target is {}", counts.automatic,
                       options_.target_outbound);
  }
  if (counts.inbound > options_.inbound_max) {
    return fmt::format("{} inbound, the limit is {}", counts.inbound, options_.inbound_max);
  }
  if (is_paused && counts.inbound < options_.inbound_max) {
    return std::string("the listeners are paused though there is room");
  }
  return std::nullopt;
}

Model::Verdict Model::everybody_is_connected() const {
  for (const auto& [id, peer] : peers_) {
    if (!peer.is_over && peer.kind != PeerKind::kFeeler && peer.state != PeerState::kConnected) {
      return fmt::format("peer {} ({}) is {} though the network is well", id.value, peer.address,
                         name(peer.state));
    }
  }
  return std::nullopt;
}

Model::Verdict Model::nothing_is_left() const {
  for (const auto& [id, peer] : peers_) {
    if (!peer.is_over || peer.connection.has_value()) {
      return fmt::format("peer {} is left after the stop", id.value);
    }
  }
  return dials_.empty() ? std::nullopt : std::optional<std::string>("a dial is left");
}

}  // namespace trunkline::peers::sim
