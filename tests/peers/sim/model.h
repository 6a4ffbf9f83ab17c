// SPDX-License-Identifier: Apache-2.0
//
// What the simulation knows by itself, from what it asked for and what it was told, and holds the
// machine to. It shares no code with the machine but the formula of the backoff's ceiling.
#pragma once

#include "core/time.h"
#include "peers/events.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace trunkline::peers::sim {

class Model {
 public:
  explicit Model(const PeerOptions& options) : options_(options) {}

  // Each of them returns what was broken, or nothing.
  using Verdict = std::optional<std::string>;

  Verdict on_event(const PeerEvent& event, TimePoint now);
  Verdict on_dial(DialId dial, const std::string& address, TimePoint now);
  Verdict on_dial_over(DialId dial);
  Verdict on_adopted(PeerId id, DialId dial, const std::string& address);
  Verdict on_surface(PeerId id, DialId dial);
  Verdict on_close(PeerId id);
  Verdict totals(const PeerCounts& counts, bool is_paused) const;

  // The simulation is about to tell that the connection was lost.
  void lost_by_network(PeerId id) {
    if (const auto found = peers_.find(id); found != peers_.end()) {
      found->second.is_lost = true;
    }
  }

  // It was refused: the machine knew better.
  void not_lost(PeerId id) {
    if (const auto found = peers_.find(id); found != peers_.end()) {
      found->second.is_lost = false;
    }
  }

  [[nodiscard]] bool is_connected_by(PeerId id, DialId dial) const {
    const auto found = peers_.find(id);
    return found != peers_.end() && found->second.connection == dial;
  }

  // In a row.
  [[nodiscard]] std::uint32_t failures(PeerId id) const { return peers_.at(id).failures; }

  // Whether the request that is about to be made allows duplicates.
  void next_request(bool allows_duplicate) { next_allows_duplicate_ = allows_duplicate; }

  void ban(const std::string& host, TimePoint until) { banned_[host] = until; }

  void forgive(const std::string& host) { banned_.erase(host); }

  [[nodiscard]] bool is_banned(const std::string& host, TimePoint now) const;
  [[nodiscard]] Verdict everybody_is_connected() const;
  [[nodiscard]] Verdict nothing_is_left() const;

 private:
  struct Peer {
    PeerKind kind = PeerKind::kOnce;
    PeerState state = PeerState::kPending;
    std::string address;
    TimePoint since;
    std::uint32_t failures = 0;
    bool allows_duplicate = false;
    bool is_lost = false;
    bool is_over = false;
    bool has_surfaced = false;
    std::optional<DialId> connection;  // adopted
  };

  Verdict on_state(Peer& peer, const PeerEvent& event, TimePoint now);
  Verdict check_retry(const Peer& peer, const PeerEvent& event) const;
  Verdict check_share(const Peer& added) const;
  Verdict check_address(const std::string& address) const;

  const PeerOptions options_;
  std::map<PeerId, Peer> peers_;
  std::map<DialId, std::string> dials_;
  std::map<std::string, TimePoint> banned_;  // by host
  std::map<std::string, int> probes_;        // of half-open addresses
  bool next_allows_duplicate_ = false;
  std::uint32_t failures_in_a_row_ = 0;
  std::optional<TimePoint> last_slow_dial_;
};

// "10.1.0.1" of "10.1.0.1:80"; "10.1" of it.
[[nodiscard]] std::string host_text(const std::string& address);
[[nodiscard]] std::string network_text(const std::string& address);

}  // namespace trunkline::peers::sim
