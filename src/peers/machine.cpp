// SPDX-License-Identifier: Apache-2.0
#include "peers/machine.h"

#include "core/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::peers {

namespace {

// Nothing slows down a group's number in flight, only its spacing.
constexpr std::size_t kNoWindow = 1;

ThrottleSettings overall_settings(const PeerOptions& options) {
  return {options.slow_after_failures, options.retry_start, options.slow_spacing_max,
          options.dials_in_flight_max};
}

ThrottleSettings group_settings(const PeerOptions& options) {
  return {options.slow_group_after_failures, options.retry_start, options.slow_spacing_max,
          kNoWindow};
}

ReputationSettings reputation_settings(const PeerOptions& options) {
  return {{options.score_half_life, options.score_forgotten_after},
          options.discourage_score,
          options.ban_score,
          options.ban_duration,
          options.scores_max};
}

}  // namespace

Machine::Machine(const PeerOptions& options, Random random, TimePoint now)
    : options_(options),
      overall_settings_(overall_settings(options)),
      group_settings_(group_settings(options)),
      breaker_settings_{options.breaker_failures, options.breaker_open, options.breaker_open_max},
      prefixes_{options.group_prefix_v4, options.group_prefix_v6},
      salt_(random.next()),
      random_(random),
      now_(now),
      wheel_(now),
      book_(options.book_addresses_max, prefixes_),
      reputation_(reputation_settings(options)),
      overall_(options.dials_in_flight_max),
      next_ask_(now),
      next_trim_(now) {}

Machine::~Machine() = default;

Result<PeerId> Machine::step(Event event, TimePoint now, Effects& effects) {
  // Answers that come late still have to be counted; nothing else has any effect.
  if (phase_ == Phase::kStopped && !std::holds_alternative<AttemptSucceeded>(event)) {
    return fail(ErrorCode::kClosed, "the manager has been stopped");
  }
  now_ = std::max(now_, now);
  effects_ = &effects;
  Result<PeerId> answer = std::visit([this](auto& one) { return on(one); }, event);
  settle();
  effects_ = nullptr;
  return answer;
}

void Machine::settle() {
  if (!is_running()) {
    return;
  }
  trim();
  resume_if_room();  // also for the places that trimming freed
  refill();
  dial_ready();
}

Result<Peer*> Machine::peer_of(PeerId id) {
  const auto found = peers_.find(id.value);
  if (found == peers_.end()) {
    return fail(ErrorCode::kNotFound, fmt::format("no peer {}", id.value));
  }
  return &found->second;
}

Result<PeerId> Machine::on(Start& /*start*/) {
  if (phase_ != Phase::kNew) {
    return fail(ErrorCode::kClosed, "started before");
  }
  phase_ = Phase::kRunning;
  next_ask_ = now_;
  arm_feeler();
  arm_bans();
  return PeerId{};
}

// Everybody goes in the order of the ids, so that the program sees an orderly end.
Result<PeerId> Machine::on(Stop& /*stop*/) {
  phase_ = Phase::kStopped;
  while (Peer* peer = all_.front()) {
    if (peer->state == PeerState::kConnected) {
      lose(*peer, Ending::kForGood, "stopped");
    } else {
      cancel(*peer, "stopped");
    }
  }
  for (Timer* timer : std::initializer_list<Timer*>{&dial_timer_, &ask_timer_, &feeler_timer_,
                                                    &pause_timer_, &trim_timer_, &ban_timer_}) {
    wheel_.disarm(*timer);
  }
  emit(Stopped{});
  return PeerId{};
}

Result<PeerId> Machine::on(Connect& connect) {
  const PeerRequest& request = connect.request;
  if (peers_.size() - of_kind(PeerKind::kInbound) >= options_.requests_max) {
    return fail(ErrorCode::kLimitExceeded,
                fmt::format("{} requests, the limit is {}",
                            peers_.size() - of_kind(PeerKind::kInbound), options_.requests_max));
  }
  const Result<AddressRecord*> found = book_.at(request.address);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  AddressRecord& record = **found;
  if (reputation_.standing(record.host, now_) == Standing::kBanned) {
    return fail(ErrorCode::kPermissionDenied, fmt::format("{} is banned", *record.text));
  }
  give_way(record);
  if (record.uses > 0 && !request.allow_duplicate && !TRUNKLINE_MUTANT("duplicate-taken")) {
    return fail(ErrorCode::kAlreadyExists,
                fmt::format("there is a request for {} already", *record.text));
  }
  Peer& peer = add(request.permanent ? PeerKind::kPermanent : PeerKind::kOnce, record,
                   request.group.empty() ? record.group : group_of_label(request.group));
  peer.has_label = !request.group.empty();
  make_ready(peer);
  return peer.id;
}

Result<PeerId> Machine::on(Disconnect& disconnect) {
  const Result<Peer*> found = peer_of(disconnect.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Peer& peer = **found;
  if (peer.state == PeerState::kConnected) {
    lose(peer, Ending::kByProgram, "disconnect called");
  } else if (peer.kind != PeerKind::kPermanent) {
    cancel(peer, "disconnect called");
  } else if (peer.state == PeerState::kPending) {
    give_up_dial(peer);
    set_waiting(peer, PeerState::kDisconnected, "disconnect called");
  }
  return disconnect.id;
}

Result<PeerId> Machine::on(Cancel& wish) {
  const Result<Peer*> found = peer_of(wish.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  if ((*found)->state == PeerState::kConnected) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("peer {} is connected: disconnect() or remove() it", wish.id.value));
  }
  cancel(**found, "cancel called");
  return wish.id;
}

Result<PeerId> Machine::on(Remove& remove) {
  const Result<Peer*> found = peer_of(remove.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  if ((*found)->state == PeerState::kConnected) {
    lose(**found, Ending::kForGood, "remove called");
  } else {
    cancel(**found, "remove called");
  }
  return remove.id;
}

Result<PeerId> Machine::on(Protect& protect) {
  const Result<Peer*> found = peer_of(protect.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  (*found)->is_protected = protect.on;
  return protect.id;
}

Result<PeerId> Machine::on(SetMerit& merit) {
  const Result<Peer*> found = peer_of(merit.id);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  (*found)->merit = merit.merit;
  return merit.id;
}

Result<PeerId> Machine::on(Wake& /*wake*/) {
  wheel_.advance(now_);
  return PeerId{};
}

Result<PeerId> Machine::on(Closed& closed) {
  const Result<Peer*> found = peer_of(closed.id);
  const bool is_this_one = found.has_value() && (*found)->state == PeerState::kConnected &&
                           ((*found)->connection == closed.dial || TRUNKLINE_MUTANT("stale-close"));
  if (!is_this_one) {
    return fail(ErrorCode::kClosed, fmt::format("peer {} has no such connection", closed.id.value));
  }
  lose(**found, Ending::kByPeer, closed.reason);
  return closed.id;
}

}  // namespace trunkline::peers
