// SPDX-License-Identifier: Apache-2.0
//
// The connection manager without a world: it is told what happened and what time it is, and answers
// with what to do and when it has to be woken. It opens no socket, reads no clock, and asks nobody;
// net/'s PeerDriver does that for it, the simulation does it from a seed.
//
// What it keeps, whatever comes (check() recomputes most of it):
//   - automatic peers, pending and connected, are never more than the target;
//   - of the requests for one address at most one has not allowed duplicates, so that there is
//   never
//     a second dial or connection unless somebody asked for it;
//   - every request is somewhere: in line, being dialled, connected, or waiting for a timer;
//   - a dial that was given up can not come back: its id is forgotten, and its socket is closed.
//
// docs/peers.md has the table of states, events and effects.
#pragma once

#include <trunkline/error.h>
#include <trunkline/peer_types.h>

#include "core/intrusive_list.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "peers/address_book.h"
#include "peers/book_text.h"
#include "peers/events.h"
#include "peers/eviction.h"
#include "peers/peer.h"
#include "peers/reputation.h"
#include "peers/throttle.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::peers {

// Errors: kConfig with the option and its value.
[[nodiscard]] Result<void> check_options(const PeerOptions& options);

// Thread: the owner's.
class Machine {
 public:
  // The options must have passed check_options().
  Machine(const PeerOptions& options, Random random, TimePoint now);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // Takes one event at `now`, which never goes back, and appends what follows from it. The answer
  // is the peer that the event was about (0: none), or why a command was refused. What the world
  // tells too late (a dial that was given up) is answered kClosed and has no effect.
  Result<PeerId> step(Event event, TimePoint now, Effects& effects);

  // When Wake has to come; nothing: only when something happens.
  [[nodiscard]] std::optional<TimePoint> next_wakeup() const { return wheel_.next_wakeup(); }

  // --- queries; `now` is that of the last step or later ---

  [[nodiscard]] PeerCounts counts() const;

  [[nodiscard]] const PeerMetrics& metrics() const { return metrics_; }

  // Errors: kNotFound, also for one that has ended.
  [[nodiscard]] Result<PeerInfo> info(PeerId id, TimePoint now) const;
  // In the order of their ids, which is that of their making.
  void for_each(const std::function<void(const PeerInfo&)>& visit, TimePoint now) const;
  // Of a host, without port: as Penalize adds to it.
  [[nodiscard]] double score(std::string_view host, TimePoint now) const;

  // What is worth knowing after a restart, as text: addresses with their past, those connected now,
  // lasting scores and bans.
  [[nodiscard]] std::string save(Now now) const;
  // Takes such a text, before Start. Good addresses are dialled first then. Errors: kMalformed, and
  // nothing was taken.
  [[nodiscard]] Result<void> restore(std::string_view text, Now now);

  // Recomputes what is kept by counting. Empty, or what is wrong. For tests and the simulation.
  [[nodiscard]] std::string check() const;

 private:
  friend struct Peer;
  friend struct Dial;

  enum class Phase : std::uint8_t { kNew, kRunning, kStopped };

  // Why a connection ends; what follows depends on whose doing it was.
  enum class Ending : std::uint8_t { kByPeer, kByProgram, kForGood };

  class OwnTimer final : public Timer {
   public:
    OwnTimer(Machine& machine, void (Machine::*run)()) : machine_(machine), run_(run) {}

    void on_timer(TimePoint /*now*/) override { (machine_.*run_)(); }

   private:
    Machine& machine_;
    void (Machine::*run_)();
  };

  // machine.cpp: commands
  Result<PeerId> on(Start&);
  Result<PeerId> on(Stop&);
  Result<PeerId> on(Connect&);
  Result<PeerId> on(Disconnect&);
  Result<PeerId> on(Cancel&);
  Result<PeerId> on(Remove&);
  Result<PeerId> on(Protect&);
  Result<PeerId> on(SetMerit&);
  Result<PeerId> on(Wake&);
  Result<PeerId> on(Closed&);
  Result<Peer*> peer_of(PeerId id);
  // What is due after every event, whatever it was.
  void settle();

  // For timers whose event is the time itself: settle() follows.
  void nothing_else() {}

  // machine_states.cpp: how peers come, change and go
  Peer& add(PeerKind kind, AddressRecord& record, NetKey group);
  void set_state(Peer& peer, PeerState to, std::string_view why);
  void set_waiting(Peer& peer, PeerState to, std::string_view why);
  void cancel(Peer& peer, std::string_view why);
  void lose(Peer& peer, Ending ending, std::string_view why);
  void end(Peer& peer);
  void join_group(Peer& peer);
  void leave_group(Peer& peer);
  void count(const Peer& peer, std::ptrdiff_t by);
  void tell(PeerEvent event);
  void tell(PeerEventKind kind, const Peer& peer, std::string_view why);
  void on_peer_timer(Peer& peer);
  // Whom the events name: the address that was asked for, or the remote end.
  [[nodiscard]] static const std::string& name_of(const Peer& peer);

  // machine_dials.cpp: from the line to a connection
  Result<PeerId> on(Resolved&);
  Result<PeerId> on(AttemptSucceeded&);
  Result<PeerId> on(AttemptFailed&);
  void make_ready(Peer& peer);
  void dial_ready();
  [[nodiscard]] TimePoint may_dial_at(const Peer& peer);
  void start_dial(Peer& peer);
  void start_attempt(Dial& dial);
  void arm(Dial& dial);
  void on_dial_timer(Dial& dial);
  void dial_failed(Dial& dial, const Error& error);
  void give_up_dial(Peer& peer);
  void forget_dial(Dial& dial);
  void connected(Dial& dial, const PeerEndpoint& endpoint);
  void felt(Dial& dial);
  void note_success(const Peer& peer);
  void note_failure(const Peer& peer);
  void note_bad_address(AddressRecord& record);
  void note_good_address(AddressRecord& record);
  void tell_breaker(const AddressRecord& record);
  void tell_slow(bool was_slow);

  // machine_target.cpp: the target and the feelers
  Result<PeerId> on(AddressOffered&);
  Result<PeerId> on(Learn&);
  void refill();
  void add_automatic(AddressRecord& record);
  [[nodiscard]] bool is_fit(const AddressRecord& record) const;
  [[nodiscard]] bool has_room(NetKey group) const;
  void pause_asking();
  void feel();
  // A feeler does not stand in the way of a request for the same address.
  void give_way(const AddressRecord& record);
  void arm_feeler();

  // machine_inbound.cpp: accepted connections and watermarks
  Result<PeerId> on(Accepted&);
  Result<PeerId> refuse(const PeerEndpoint& remote, std::uint64_t& counter, ErrorCode code,
                        std::string_view why);
  bool make_room();
  void pause_listeners();
  void resume_if_room();
  void end_pause();
  void trim();
  [[nodiscard]] Candidate candidate(const Peer& peer) const;

  // machine_bans.cpp
  Result<PeerId> on(Penalize&);
  Result<PeerId> on(PenalizePeer&);
  Result<PeerId> on(Ban&);
  Result<PeerId> on(Forgive&);
  Result<PeerId> on(Allow&);
  void penalize(NetKey host, std::string_view name, double lasting, double decaying);
  void enforce_ban(NetKey host, std::string_view name);
  void arm_bans();
  void end_bans();

  // machine_report.cpp
  [[nodiscard]] PeerInfo describe(const Peer& peer, TimePoint now) const;

  void emit(Effect effect) { effects_->push_back(std::move(effect)); }

  [[nodiscard]] bool is_running() const { return phase_ == Phase::kRunning; }

  [[nodiscard]] std::size_t of_kind(PeerKind kind) const {
    return kinds_[static_cast<std::size_t>(kind)];
  }

  [[nodiscard]] std::size_t in_state(PeerState state) const {
    return states_[static_cast<std::size_t>(state)];
  }

  Group& group(NetKey key);

  // Constant after construction
  const PeerOptions options_;
  const ThrottleSettings overall_settings_;
  const ThrottleSettings group_settings_;
  const BreakerSettings breaker_settings_;
  const Prefixes prefixes_;
  const std::uint64_t salt_;

  Random random_;
  TimePoint now_;
  Effects* effects_ = nullptr;  // of the running step
  Phase phase_ = Phase::kNew;
  std::uint64_t last_id_ = 0;
  std::uint64_t last_dial_ = 0;

  TimerWheel wheel_;
  AddressBook book_;
  Reputation reputation_;
  std::unordered_map<NetKey, Group, NetKeyHash> groups_;
  std::unordered_map<std::uint64_t, Peer> peers_;
  IntrusiveList<Peer, AllPeers> all_;
  // A peer is in at most one of them.
  IntrusiveList<Peer, PeerLine> ready_;
  IntrusiveList<Peer, PeerLine> inbound_;
  std::unordered_map<DialId, Dial, DialIdHash> dials_;

  Throttle overall_;
  std::vector<std::string> anchors_;  // the last good ones, the best at the end
  bool is_asking_ = false;            // NeedAddress is not answered yet
  TimePoint next_ask_;
  std::uint32_t unfit_ = 0;  // addresses in a row
  bool is_paused_ = false;   // the listeners
  TimePoint next_trim_;

  std::array<std::size_t, 5> kinds_{};
  std::array<std::size_t, 5> states_{};
  std::size_t automatic_connected_ = 0;
  PeerMetrics metrics_;

  OwnTimer dial_timer_{*this, &Machine::nothing_else};
  OwnTimer ask_timer_{*this, &Machine::nothing_else};
  OwnTimer feeler_timer_{*this, &Machine::feel};
  OwnTimer pause_timer_{*this, &Machine::end_pause};
  OwnTimer trim_timer_{*this, &Machine::nothing_else};
  OwnTimer ban_timer_{*this, &Machine::end_bans};
};

}  // namespace trunkline::peers
