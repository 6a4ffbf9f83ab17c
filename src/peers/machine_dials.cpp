// SPDX-License-Identifier: Apache-2.0
//
// From the line of those that are ready to a connection, or to a failure.
#include "core/probe.h"
#include "peers/backoff.h"
#include "peers/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::peers {

namespace {

using LineHook = ListHook<PeerLine>;

}  // namespace

void Dial::on_timer(TimePoint /*now*/) {
  machine.on_dial_timer(*this);
}

// settle() takes it from there, at once when nothing is against it.
void Machine::make_ready(Peer& peer) {
  ready_.push_back(peer);
}

void Machine::dial_ready() {
  while (Peer* peer = ready_.front()) {
    const std::size_t window = std::min(options_.dials_in_flight_max, overall_.window());
    if (dials_.size() >= window && !TRUNKLINE_MUTANT("dials-without-limit")) {
      return;  // the end of one of them comes back here
    }
    const TimePoint at = overall_.next_dial(overall_settings_, now_);
    if (at > now_ && !TRUNKLINE_MUTANT("never-slow")) {
      TRUNKLINE_SOMETIMES("dials are spaced");
      wheel_.arm(dial_timer_, at);
      return;
    }
    static_cast<LineHook&>(*peer).unlink();
    const TimePoint its = may_dial_at(*peer);
    if (its > now_) {
      wheel_.arm(*peer, its);
    } else {
      start_dial(*peer);
    }
  }
}

// What holds up this one and not the others: a ban, its address's breaker, its group.
TimePoint Machine::may_dial_at(const Peer& peer) {
  TimePoint at = reputation_.banned_until(peer.record->host, now_).value_or(now_);
  const Breaker& breaker = peer.record->breaker;
  if (breaker.is_probing() && !TRUNKLINE_MUTANT("two-probes")) {
    // Another request for the same address makes the probe; it takes a dial's time at most.
    TRUNKLINE_SOMETIMES("a probe is under way");
    at = std::max(at, now_ + options_.retry_start);
  }
  at = std::max(at, breaker.next_dial(now_));
  const auto found = groups_.find(peer.group);
  if (found != groups_.end()) {
    at = std::max(at, found->second.throttle.next_dial(group_settings_, now_));
  }
  return at;
}

void Machine::start_dial(Peer& peer) {
  const DialId id{++last_dial_};
  Dial& dial = dials_.try_emplace(id, *this, id, peer).first->second;
  dial.deadline = now_ + options_.dial_timeout;
  peer.dial = id;
  ++peer.dials;
  ++metrics_.dials;
  AddressRecord& record = *peer.record;
  book_.tried(record, now_);
  overall_.on_dial(overall_settings_, now_, random_);
  group(peer.group).throttle.on_dial(group_settings_, now_, random_);
  if (record.breaker.on_dial()) {
    tell_breaker(record);
  }
  if (record.endpoint.has_value()) {
    dial.plan = DialPlan({*record.endpoint});
    start_attempt(dial);
    return;
  }
  const Result<Address> address = parse_address(*record.text);
  emit(Resolve{id, address->host, address->port});
  arm(dial);
}

void Machine::start_attempt(Dial& dial) {
  const auto attempt = dial.plan.start_next(now_, options_.attempt_interval);
  if (attempt.has_value()) {
    ++metrics_.attempts;
    emit(StartAttempt{dial.id, *attempt, dial.plan.endpoint(*attempt)});
  }
  arm(dial);
}

void Machine::arm(Dial& dial) {
  wheel_.arm(dial, std::min(dial.deadline, dial.plan.next_due().value_or(dial.deadline)));
}

void Machine::on_dial_timer(Dial& dial) {
  if (now_ < dial.deadline) {
    TRUNKLINE_SOMETIMES("a second attempt overtakes");
    start_attempt(dial);
    return;
  }
  ++metrics_.dials_timed_out;
  dial_failed(dial, {ErrorCode::kTimeout,
                     fmt::format("no connection within {} ms", options_.dial_timeout.count())});
}

Result<PeerId> Machine::on(Resolved& resolved) {
  const auto found = dials_.find(resolved.dial);
  if (found == dials_.end() || found->second.plan.started() > 0) {
    return fail(ErrorCode::kClosed, "nobody waits for it");
  }
  Dial& dial = found->second;
  const PeerId id = dial.peer.id;
  if (!resolved.endpoints.has_value()) {
    dial_failed(dial, resolved.endpoints.error());
    return id;
  }
  std::vector<PeerEndpoint> order =
      interleaved(*resolved.endpoints, options_.attempts_per_dial_max);
  std::erase_if(order, [&](const PeerEndpoint& endpoint) {
    return reputation_.standing(host_of(endpoint), now_) == Standing::kBanned ||
           (dial.peer.kind == PeerKind::kAutomatic && !has_room(group_of(endpoint, prefixes_)));
  });
  if (order.empty()) {
    dial_failed(dial, {ErrorCode::kNotFound, "the name has no address that may be dialled"});
    return id;
  }
  dial.plan = DialPlan(std::move(order));
  start_attempt(dial);
  return id;
}

Result<PeerId> Machine::on(AttemptSucceeded& succeeded) {
  const auto found = dials_.find(succeeded.dial);
  if (found == dials_.end() || succeeded.attempt >= found->second.plan.started()) {
    TRUNKLINE_SOMETIMES("a success comes too late");
    ++metrics_.late_successes;
    if (TRUNKLINE_MUTANT("late-success-taken")) {
      return PeerId{};
    }
    return fail(ErrorCode::kClosed, "nobody waits for it");
  }
  Dial& dial = found->second;
  const Peer& peer = dial.peer;
  const PeerEndpoint endpoint = dial.plan.endpoint(succeeded.attempt);
  if (peer.kind == PeerKind::kFeeler) {
    felt(dial);
    return fail(ErrorCode::kClosed, "a feeler needs no connection");
  }
  // Two names may lead into one network, which only shows now.
  const bool is_crowded = peer.kind == PeerKind::kAutomatic && !peer.record->endpoint.has_value() &&
                          !has_room(group_of(endpoint, prefixes_));
  if (is_crowded) {
    dial_failed(dial, {ErrorCode::kLimitExceeded, "its network has enough connections"});
    return fail(ErrorCode::kClosed, "its network has enough connections");
  }
  const PeerId id = peer.id;
  connected(dial, endpoint);
  return id;
}

Result<PeerId> Machine::on(AttemptFailed& failed) {
  const auto found = dials_.find(failed.dial);
  if (found == dials_.end()) {
    return fail(ErrorCode::kClosed, "nobody waits for it");
  }
  Dial& dial = found->second;
  const PeerId id = dial.peer.id;
  dial.plan.on_failed();
  if (dial.plan.has_failed()) {
    dial_failed(dial, failed.error);
  } else if (dial.plan.next_due().has_value()) {
    start_attempt(dial);
  }
  return id;
}

void Machine::connected(Dial& dial, const PeerEndpoint& endpoint) {
  Peer& peer = dial.peer;
  if (dial.plan.started() > 1) {
    emit(AbortDial{dial.id});
  }
  peer.connection = dial.id;
  forget_dial(dial);
  peer.remote = to_string(endpoint);
  peer.host = host_of(endpoint);
  peer.last_error.clear();
  if (!peer.record->endpoint.has_value() && !peer.has_label) {
    leave_group(peer);
    peer.group = group_of(endpoint, prefixes_);
    join_group(peer);
  }
  note_success(peer);
  set_state(peer, PeerState::kConnected, {});
  emit(Surface{peer.id, peer.connection, peer.kind});
}

// A feeler's address works: it is as good as one that was connected for long.
void Machine::felt(Dial& dial) {
  Peer& peer = dial.peer;
  emit(AbortDial{dial.id});
  forget_dial(dial);
  ++metrics_.feelers_succeeded;
  note_success(peer);
  note_good_address(*peer.record);
  set_state(peer, PeerState::kDisconnected, "the address works");
  end(peer);
}

void Machine::dial_failed(Dial& dial, const Error& error) {
  Peer& peer = dial.peer;
  emit(AbortDial{dial.id});
  forget_dial(dial);
  ++metrics_.dials_failed;
  ++peer.failures;
  peer.last_error = error.context;
  note_failure(peer);
  if (peer.kind == PeerKind::kPermanent) {
    set_waiting(peer, PeerState::kFailing, error.context);
  } else {
    set_state(peer, PeerState::kFailing, error.context);
    end(peer);
  }
}

// Whatever it was waiting for before a connection, it does not any more.
void Machine::give_up_dial(Peer& peer) {
  wheel_.disarm(peer);
  static_cast<LineHook&>(peer).unlink();
  const auto found = dials_.find(peer.dial);
  if (found == dials_.end()) {
    return;
  }
  TRUNKLINE_SOMETIMES("a dial is given up");
  ++metrics_.dials_cancelled;
  emit(AbortDial{found->second.id});
  forget_dial(found->second);
  if (peer.record->breaker.on_given_up()) {
    tell_breaker(*peer.record);
  }
}

void Machine::forget_dial(Dial& dial) {
  dial.peer.dial = {};
  dials_.erase(dials_.find(dial.id));
}

void Machine::note_success(const Peer& peer) {
  ++metrics_.dials_succeeded;
  const bool was_slow = overall_.is_slow(overall_settings_);
  overall_.on_success(overall_settings_);
  tell_slow(was_slow);
  if (const auto found = groups_.find(peer.group); found != groups_.end()) {
    found->second.throttle.on_success(group_settings_);
  }
  if (peer.record->breaker.on_success()) {
    tell_breaker(*peer.record);
  }
}

void Machine::note_failure(const Peer& peer) {
  const bool was_slow = overall_.is_slow(overall_settings_);
  overall_.on_failure(overall_settings_);
  tell_slow(was_slow);
  group(peer.group).throttle.on_failure(group_settings_);
  note_bad_address(*peer.record);
}

void Machine::note_bad_address(AddressRecord& record) {
  ++record.failures;
  record.not_before =
      now_ + retry_delay(record.failures, options_.retry_start, options_.retry_max, random_);
  if (record.breaker.on_failure(breaker_settings_, now_)) {
    ++metrics_.breakers_opened;
    tell_breaker(record);
  }
}

void Machine::note_good_address(AddressRecord& record) {
  record.failures = 0;
  record.not_before = now_;
  record.last_good = now_;
  record.breaker.on_good();
}

void Machine::tell_breaker(const AddressRecord& record) {
  tell(PeerEvent{
      .kind = PeerEventKind::kBreaker, .breaker = record.breaker.state(), .address = *record.text});
}

void Machine::tell_slow(bool was_slow) {
  const bool is_slow = overall_.is_slow(overall_settings_);
  if (is_slow == was_slow) {
    return;
  }
  metrics_.slow_downs += is_slow ? 1 : 0;
  tell(PeerEvent{
      .kind = is_slow ? PeerEventKind::kSlowedDown : PeerEventKind::kSpedUp,
      .text = is_slow ? fmt::format("{} dials in a row have failed", overall_.failures()) : ""});
}

}  // namespace trunkline::peers
