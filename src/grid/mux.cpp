// SPDX-License-Identifier: Apache-2.0
//
// The connection as a whole: liveness, drain, loss.
#include "grid/mux.h"

#include "core/assert.h"
#include "core/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid {

namespace {

// Before a peer is given up it gets so much more, once. A node that has itself stood still finds
// its timers due first, and what the peer has said or taken meanwhile only afterwards; when it sees
// by the timer that it has, the peer gets all of its time again.
Duration grace(Duration interval, TimePoint due, TimePoint now) {
  return now - due > interval / 16 ? interval : interval / 16;
}

}  // namespace

void MuxEvents::on_will_fill(char* /*memory*/, std::size_t /*bytes*/) {}

void MuxEvents::on_spent(char* /*message*/, std::size_t /*from*/, std::size_t /*to*/) {}

Mux::Mux(const MuxOptions& options, const Agreement& agreement, Side side, MemoryPool& pool,
         TimerWheel& wheel, MuxEvents& events, MuxOwner& owner, TimePoint now,
         std::shared_ptr<std::size_t> handlers)
    : options_(options),
      peer_(agreement.peer_limits),
      side_(side),
      checksum_(agreement.checksum),
      pool_(pool),
      wheel_(wheel),
      events_(events),
      owner_(owner),
      peers_handlers_(std::move(handlers)),
      send_limit_(agreement.peer_limits.connection_window),
      receive_limit_(options.limits.connection_window),
      window_(options.limits.connection_window),
      rate_since_(now),
      last_received_(now),
      now_(now) {
  TRUNKLINE_ASSERT(options_.limits.stream_window <= kStreamBytesBound &&
                   options_.stream_window_max <= kStreamBytesBound &&
                   options_.stream_rescue_max <= kStreamBytesBound);
  arm_ping(now + options_.ping_interval);
}

Mux::~Mux() {
  *peers_handlers_ -= handlers_;
  pool_.release(reserved_bytes());
}

void Mux::arm_ping(TimePoint due) {
  ping_due_ = due;
  wheel_.arm(ping_timer_, due);
}

void Mux::arm_write(TimePoint due) {
  write_due_ = due;
  wheel_.arm(write_timer_, due);
}

void Mux::on_ping_timer(TimePoint now) {
  const bool is_silent = now - last_received_ >= 2 * options_.ping_interval;
  const bool was_suspected = std::exchange(is_suspected_silent_, is_silent);
  if (is_silent && was_suspected && !TRUNKLINE_MUTANT("silence-ignored")) {
    TRUNKLINE_SOMETIMES("a peer is silent");
    owner_.on_dead(*this, {ErrorCode::kTimeout,
                           fmt::format("the peer has said nothing for {} ms",
                                       (now - last_received_) / std::chrono::milliseconds(1))});
    return;
  }
  const Duration interval = options_.ping_interval;
  arm_ping(now + (is_silent ? grace(interval, ping_due_, now) : interval));
  probe();
  fail_stalled(now);
  pool_.drop_buffers(now, options_.ping_interval);
  owner_.on_output(*this);
}

std::uint64_t Mux::probe() {
  owes_ping_ = true;
  return ping_token_ + 1;
}

void Mux::on_write_timer(TimePoint now) {
  if (!std::exchange(is_suspected_stuck_, true)) {
    arm_write(now + grace(options_.write_deadline, write_due_, now));
    return;
  }
  owner_.on_dead(*this, {ErrorCode::kTimeout,
                         fmt::format("the peer has taken no byte for {} ms",
                                     options_.write_deadline / std::chrono::milliseconds(1))});
}

void Mux::socket_blocked(TimePoint now) {
  if (!write_timer_.is_armed() && !is_lost_) {
    is_suspected_stuck_ = false;
    arm_write(now + options_.write_deadline);
  }
}

void Mux::socket_progressed(TimePoint now) {
  if (write_timer_.is_armed()) {
    is_suspected_stuck_ = false;
    arm_write(now + options_.write_deadline);
  }
}

void Mux::socket_idle() {
  wheel_.disarm(write_timer_);
}

bool Mux::is_stalled(const Call& call, TimePoint now) const {
  return call.kind == CallKind::kStream && !call.is_over && call.is_blocked() &&
         now - std::max(call.out->blocked_since, call.last_consumed) >= options_.stream_stall &&
         call.unread > 0 && call.unused_credit() <= kDataCost;
}

void Mux::fail_stalled(TimePoint now) {
  for (std::size_t index = 0; index < calls_.size(); ++index) {
    if (is_stalled(calls_[index], now)) {
      refuse(calls_[index],
             {.code = FailureCode::kMemory, .text = "both ends send, and neither reads"});
    }
  }
}

void Mux::lose(std::string_view why, TimePoint /*now*/) {
  TRUNKLINE_ASSERT(!is_lost_);
  is_lost_ = true;
  wheel_.disarm(ping_timer_);
  wheel_.disarm(write_timer_);
  for (std::size_t index = 0; index < calls_.size(); ++index) {
    Call& call = calls_[index];
    if (!call.in_use() || call.is_over) {
      if (call.in_use() && call.is_on_wire) {
        leave_wire(call);
        free_if_done(call);
      }
      continue;
    }
    const bool is_new = call.is_own && (!call.is_on_wire || TRUNKLINE_MUTANT("always-not-run"));
    Failure failure{
        .code = FailureCode::kDisconnected, .not_run = is_new, .text = std::string(why)};
    if (call.is_own) {
      end_own(call, LastWord::kNone, std::move(failure));
    } else {
      end_peers(call, LastWord::kNone, std::move(failure));
    }
  }
}

void Mux::drain(Drain how) {
  if (!is_draining_ || (drain_ == Drain::kMoved && how == Drain::kEnding)) {
    is_draining_ = true;
    drain_ = how;
    owes_goaway_ = true;
  }
}

bool Mux::is_drained() const {
  return is_draining_ && peer_drains_ && !owes_goaway_ && own_calls_ == 0 && peer_calls_ == 0;
}

bool Mux::takes_calls() const {
  return !is_lost_ && !is_draining_ && !peer_drains_;
}

MuxStats Mux::stats() const {
  MuxStats stats = stats_;
  stats.own_calls = own_calls_;
  stats.handlers = handlers_;
  stats.unsent_bytes = unsent_bytes_;
  return stats;
}

std::size_t Mux::reserved_bytes() const {
  std::size_t sum = 0;
  for (std::size_t index = 0; index < calls_.size(); ++index) {
    const Call& call = calls_[index];
    sum += call.reserved + (call.in != nullptr ? call.in->reserved : 0);
  }
  return sum;
}

std::string Mux::check() const {
  std::size_t live = 0;
  std::size_t own = 0;
  std::size_t handlers = 0;
  std::size_t unsent = 0;
  std::size_t on_wire = 0;
  for (std::size_t index = 0; index < calls_.size(); ++index) {
    const Call& call = calls_[index];
    if (!call.in_use()) {
      if (call.reserved > 0 || call.out != nullptr || call.in != nullptr) {
        return fmt::format("call {} is free and holds memory", call.index);
      }
      continue;
    }
    ++live;
    own += call.is_own && call.is_counted ? 1U : 0U;
    handlers += !call.is_own && call.is_counted ? 1U : 0U;
    on_wire += call.is_on_wire ? 1U : 0U;
    unsent += call.unsent_bytes();
    if (call.unread > call.reserved && call.is_held) {
      return fmt::format("call {} holds {} bytes, {} are reserved", call.wire_id, call.unread,
                         call.reserved);
    }
    if (call.granted > call.reserved && !call.is_deaf) {
      return fmt::format("call {} was granted {} bytes, {} are reserved", call.wire_id,
                         call.granted, call.reserved);
    }
    if (call.spent > call.send_limit && call.kind == CallKind::kStream && call.is_on_wire) {
      return fmt::format("call {} has spent {} of {}", call.wire_id, call.spent, call.send_limit);
    }
  }
  if (live != calls_.live() || own != own_calls_ || handlers != handlers_ ||
      unsent != unsent_bytes_ || on_wire != ids_.size()) {
    return fmt::format("counted live {} {}, own {} {}, handlers {} {}, unsent {} {}, on wire {} {}",
                       live, calls_.live(), own, own_calls_, handlers, handlers_, unsent,
                       unsent_bytes_, on_wire, ids_.size());
  }
  return {};
}

}  // namespace trunkline::grid
