// SPDX-License-Identifier: Apache-2.0
//
// What operators and tests see; nothing here changes anything.
#include "peers/machine.h"
#include "peers/milliseconds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace trunkline::peers {

PeerCounts Machine::counts() const {
  return {.requests = peers_.size() - of_kind(PeerKind::kInbound),
          .pending = in_state(PeerState::kPending),
          .connected = in_state(PeerState::kConnected),
          .disconnected = in_state(PeerState::kDisconnected),
          .failing = in_state(PeerState::kFailing),
          .automatic = of_kind(PeerKind::kAutomatic),
          .automatic_connected = automatic_connected_,
          .permanent = of_kind(PeerKind::kPermanent),
          .inbound = of_kind(PeerKind::kInbound),
          .dials_in_flight = dials_.size(),
          .banned_hosts = reputation_.banned_count(),
          .known_addresses = book_.size(),
          .listeners_paused = is_paused_,
          .slowed_down = overall_.is_slow(overall_settings_)};
}

PeerInfo Machine::describe(const Peer& peer, TimePoint now) const {
  return {.id = peer.id,
          .kind = peer.kind,
          .state = peer.state,
          .address = name_of(peer),
          .remote = peer.remote,
          .last_error = peer.last_error,
          .failures = peer.failures,
          .dials = peer.dials,
          .is_dialling = peer.dial != DialId{},
          .is_protected = peer.is_protected,
          .breaker = peer.record != nullptr ? peer.record->breaker.state() : BreakerState::kClosed,
          .in_state = in_ms(now - peer.since),
          .retry_in = peer.is_armed() ? in_ms(peer.due() - now) : std::chrono::milliseconds{0},
          .merit = peer.merit};
}

Result<PeerInfo> Machine::info(PeerId id, TimePoint now) const {
  const auto found = peers_.find(id.value);
  if (found == peers_.end()) {
    return fail(ErrorCode::kNotFound, fmt::format("no peer {}", id.value));
  }
  return describe(found->second, now);
}

void Machine::for_each(const std::function<void(const PeerInfo&)>& visit, TimePoint now) const {
  std::vector<std::uint64_t> ids;
  ids.reserve(peers_.size());
  for (const auto& [id, peer] : peers_) {
    ids.push_back(id);
  }
  std::ranges::sort(ids);
  for (const std::uint64_t id : ids) {
    visit(describe(peers_.at(id), now));
  }
}

double Machine::score(std::string_view host, TimePoint now) const {
  const Result<NetKey> key = key_of_host(host);
  return key.has_value() ? reputation_.score(*key, now) : 0;
}

std::string Machine::check() const {
  std::array<std::size_t, 5> kinds{};
  std::array<std::size_t, 5> states{};
  std::map<NetKey, std::pair<std::size_t, std::size_t>> groups;
  std::map<const AddressRecord*, std::size_t> uses;
  std::size_t dialling = 0;
  for (const auto& [id, peer] : peers_) {
    ++kinds[static_cast<std::size_t>(peer.kind)];
    ++states[static_cast<std::size_t>(peer.state)];
    uses[peer.record] += peer.record != nullptr ? 1U : 0U;
    groups[peer.group].first += peer.is_inbound() || peer.kind == PeerKind::kFeeler ? 0U : 1U;
    groups[peer.group].second += peer.is_inbound() ? 1U : 0U;
    dialling += peer.dial != DialId{} ? 1U : 0U;
    const bool in_line = static_cast<const ListHook<PeerLine>&>(peer).is_linked();
    const bool is_dialled = peer.dial != DialId{} && dials_.contains(peer.dial);
    const int places = int{in_line} + int{is_dialled} + int{peer.is_armed()} +
                       int{peer.state == PeerState::kConnected && !peer.is_inbound()};
    if (places != 1) {
      return fmt::format("peer {} is lost or at two places: {} {}: line {} dial {} timer {}", id,
                         name(peer.kind), name(peer.state), in_line, is_dialled, peer.is_armed());
    }
  }
  for (const auto& [record, count] : uses) {
    if (record != nullptr && record->uses != count) {
      return fmt::format("{} has {} uses, not {}", *record->text, record->uses, count);
    }
  }
  for (const auto& [key, counted] : groups) {
    const auto found = groups_.find(key);
    const std::pair kept = found == groups_.end()
                               ? std::pair<std::size_t, std::size_t>{}
                               : std::pair{found->second.outbound, found->second.inbound};
    if (kept != counted) {
      return fmt::format("a group counts {} out {} in, not {} and {}", kept.first, kept.second,
                         counted.first, counted.second);
    }
  }
  if (kinds != kinds_ || states != states_ || dialling != dials_.size()) {
    return "kinds, states or dials are miscounted";
  }
  if (of_kind(PeerKind::kAutomatic) > options_.target_outbound) {
    return "more automatic peers than the target";
  }
  return {};
}

}  // namespace trunkline::peers
