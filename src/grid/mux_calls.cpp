// SPDX-License-Identifier: Apache-2.0
//
// How calls come, end and go.
#include "core/assert.h"
#include "core/probe.h"
#include "grid/mux.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid {

namespace {

// Of what calls send with, for the next ones; and of each, in bytes. One may be as large as a busy
// stream needs.
constexpr std::size_t kSpareMax = 256;
constexpr std::size_t kSpareBytesMax = 1024;
constexpr std::size_t kSpareLargeMax = 32UL * 1024;

}  // namespace

void Call::on_timer(TimePoint /*now*/) {
  mux->on_deadline(*this);
}

// A burst is over: an idle connection holds little.
void Mux::shed_calls() {
  if (calls_.shed()) {
    spare_outgoing_.clear();
    spare_outgoing_.shrink_to_fit();
    ids_.shed();
  }
}

Call* Mux::find(CallRef ref) {
  if (ref.index >= calls_.size()) {
    return nullptr;
  }
  Call& call = calls_[ref.index];
  return call.is_held && call.generation == ref.generation ? &call : nullptr;
}

Call* Mux::on_wire(std::uint64_t id) {
  const std::uint32_t index = ids_.find(id);
  return index == IdMap::kNone ? nullptr : &calls_[index];
}

void Mux::put_on_wire(Call& call, std::uint64_t id) {
  call.wire_id = id;
  call.is_on_wire = true;
  ids_.insert(call);
  peer_calls_ += call.is_own ? 0U : 1U;
}

void Mux::leave_wire(Call& call) {
  if (call.is_on_wire) {
    call.is_on_wire = false;
    ids_.erase(call);
    peer_calls_ -= call.is_own ? 0U : 1U;
  }
  static_cast<ListHook<ControlLine>&>(call).unlink();
  if (call.is_own) {
    uncount(call);
  }
}

void Mux::uncount(Call& call) {
  if (!call.is_counted) {
    return;
  }
  call.is_counted = false;
  if (call.is_own) {
    --own_calls_;
  } else {
    --handlers_;
    --*peers_handlers_;
  }
}

// Everything that has not been sent is dropped.
void Mux::stop_sending(Call& call) {
  static_cast<ListHook<SendLine>&>(call).unlink();
  unsent_bytes_ -= call.unsent_bytes();
  call.end_queued = call.wants_room = false;
  drop_outgoing(call);
}

void Mux::drop_outgoing(Call& call) {
  if (call.out == nullptr) {
    return;
  }
  const std::size_t bytes = call.out->queue.capacity_bytes();
  if (spare_outgoing_.size() >= kSpareMax ||
      bytes > (spare_outgoing_.empty() ? kSpareLargeMax : kSpareBytesMax)) {
    call.out.reset();
    return;
  }
  while (!call.out->queue.empty()) {
    call.out->queue.pop_front();
  }
  call.out->current = {};
  spare_outgoing_.push_back(std::move(call.out));
}

// What comes is dropped from now on, and nothing is granted any more. What the program has not
// taken yet stays reserved.
void Mux::stop_receiving(Call& call) {
  call.is_deaf = true;
  if (call.in != nullptr) {
    if (call.in->is_counted) {
      // It never gets to the program.
      const std::size_t dropped = kDataCost + call.in->bytes.size();
      call.received -= dropped;
      call.unread -= static_cast<std::uint32_t>(dropped);
    }
    if (!TRUNKLINE_MUTANT("reservation-kept")) {
      pool_.release(call.in->reserved);
    }
    call.in.reset();
  }
  if (call.owes_credit && call.last_word == LastWord::kNone) {
    static_cast<ListHook<ControlLine>&>(call).unlink();
  }
  call.owes_credit = false;
  const std::uint32_t unread = call.is_held ? call.unread : 0;
  if (call.reserved > unread) {
    pool_.release(call.reserved - unread);
    call.reserved = unread;
  }
}

void Mux::release(Call& call) {
  TRUNKLINE_ASSERT(call.in_use() && !call.is_held && !call.is_on_wire);
  stop_sending(call);
  stop_receiving(call);
  static_cast<ListHook<ControlLine>&>(call).unlink();
  wheel_.disarm(call);
  uncount(call);
  calls_.give_back(call);
}

void Mux::free_if_done(Call& call) {
  if (call.in_use() && !call.is_held && !call.is_on_wire) {
    release(call);
  }
}

std::uint16_t Mux::own_number(std::string_view handler) {
  if (const auto found = own_numbers_.find(handler); found != own_numbers_.end()) {
    return found->second;
  }
  if (own_names_.size() >= kHandlerNumbersMax) {
    return 0;
  }
  own_names_.push_back({std::string(handler), false});
  const auto number = static_cast<std::uint16_t>(own_names_.size());
  own_numbers_.emplace(handler, number);
  return number;
}

std::optional<Failure> Mux::why_not(const CallOptions& options) const {
  const auto because = [](FailureCode code, std::string text) {
    return Failure{.code = code, .not_run = true, .text = std::move(text)};
  };
  if (options.handler.empty() || options.handler.size() > kNameBytesMax) {
    return because(FailureCode::kInvalid, fmt::format("a handler's name has 1 to {} bytes, not {}",
                                                      kNameBytesMax, options.handler.size()));
  }
  if (options.payload.size() > peer_.message_bytes_max) {
    return because(FailureCode::kTooLarge,
                   fmt::format("{} bytes, the peer takes {}", options.payload.size(),
                               peer_.message_bytes_max));
  }
  if (is_lost_) {
    return because(FailureCode::kNotConnected, "the connection is lost");
  }
  if (is_draining_) {
    return because(FailureCode::kDraining, "this side is ending the connection");
  }
  if (peer_drains_) {
    return Failure{.code = FailureCode::kDraining,
                   .not_run = true,
                   .is_peers = true,
                   .text = "the peer is ending the connection"};
  }
  if (own_calls_ >= std::min<std::size_t>(options_.calls_max, peer_.calls_max)) {
    return because(FailureCode::kFull, fmt::format("{} calls are unanswered", own_calls_));
  }
  if (unsent_bytes_ > 0 && unsent_bytes_ + options.payload.size() > options_.unsent_bytes_max) {
    return because(FailureCode::kFull, fmt::format("{} bytes are unsent", unsent_bytes_));
  }
  return std::nullopt;
}

std::expected<CallRef, Failure> Mux::begin(CallOptions options, TimePoint now) {
  std::optional<Failure> failure = why_not(options);
  if (failure.has_value()) {
    return std::unexpected(std::move(*failure));
  }
  if (options.deadline <= now) {
    return std::unexpected(
        Failure{.code = FailureCode::kDeadline, .not_run = true, .text = "no time is left"});
  }
  Call& call = calls_.take();
  call.kind = options.kind;
  call.is_own = call.is_held = call.is_counted = true;
  if (call.kind == CallKind::kStream && !grant_first(call)) {
    call.is_held = call.is_counted = false;
    release(call);
    return std::unexpected(Failure{.code = FailureCode::kFull,
                                   .not_run = true,
                                   .text = "no memory is left for what a stream may receive"});
  }
  ++own_calls_;
  ++stats_.calls_begun;
  call.token = options.token;
  call.priority = options.priority;
  call.send_limit = peer_.stream_window;
  call.handler = own_number(options.handler);
  if (call.handler == 0) {
    call.rare_part().unlisted_name = options.handler;
  }
  set_current(call, std::move(options.payload), true);
  if (options.deadline != TimePoint::max()) {
    wheel_.arm(call, options.deadline);
  }
  enqueue(call);
  return ref_of(call);
}

void Mux::set_current(Call& call, std::string payload, bool is_opening) {
  if (spare_outgoing_.empty()) {
    call.out = std::make_unique<Outgoing>();
  } else {
    call.out = std::move(spare_outgoing_.back());
    spare_outgoing_.pop_back();
  }
  Outgoing& out = *call.out;
  out.is_begun = false;
  out.is_opening = is_opening;
  out.offset = 0;
  out.bytes = payload.size();
  out.blocked_since = TimePoint::max();
  unsent_bytes_ += payload.size();
  out.current = std::move(payload);
}

// Into the line, when there is something that may be sent and it is not in it.
void Mux::enqueue(Call& call) {
  if (may_send(call)) {
    if (!static_cast<ListHook<SendLine>&>(call).is_linked()) {
      scheduler_.add(call, Scheduler::class_of(call, options_.chunk_bytes));
    }
  } else if (call.out != nullptr && !call.is_blocked()) {
    TRUNKLINE_SOMETIMES("a stream waits for credit");
    call.out->blocked_since = now_;
    rescue(call);
  }
}

void Mux::queue_last_word(Call& call, LastWord word, Failure failure) {
  call.last_word = word;
  call.rare_part().failure = std::move(failure);
  if (!static_cast<ListHook<ControlLine>&>(call).is_linked()) {
    control_.push_back(call);
  }
}

// A call of ours is over: `word` is what the peer has to be told, if it knows of the call.
void Mux::end_own(Call& call, LastWord word, Failure failure) {
  const bool is_told = word != LastWord::kNone && call.is_on_wire;
  const std::uint64_t token = call.token;
  const bool was_held = call.is_held;
  const bool is_stream = call.kind == CallKind::kStream;
  call.is_over = true;
  wheel_.disarm(call);
  stop_sending(call);
  if (call.kind == CallKind::kRequest) {
    call.is_held = false;
  }
  stop_receiving(call);
  if (is_told) {
    queue_last_word(call, word, failure);
  } else {
    leave_wire(call);
  }
  free_if_done(call);
  if (!was_held) {
    return;
  }
  if (TRUNKLINE_MUTANT("loss-is-an-end") && is_lost_ && is_stream) {
    events_.on_end(*this, {}, token);
    return;
  }
  events_.on_failure(*this, token, failure);
}

// A call of the peer's is over; its handler may run on.
void Mux::end_peers(Call& call, LastWord word, Failure why) {
  const CallRef ref = ref_of(call);
  const std::uint64_t token = call.token;
  call.is_over = true;
  wheel_.disarm(call);
  stop_sending(call);
  stop_receiving(call);
  if (word != LastWord::kNone) {
    queue_last_word(call, word, why);
  } else {
    leave_wire(call);
  }
  if (!call.is_held) {
    uncount(call);
    free_if_done(call);
    return;
  }
  TRUNKLINE_SOMETIMES("a handler runs on");
  if (TRUNKLINE_MUTANT("cancelled-not-counted")) {
    uncount(call);
  }
  events_.on_stop(*this, ref, token, why);
}

void Mux::refuse(Call& call, Failure failure) {
  if (call.is_own) {
    end_own(call, LastWord::kCancel, std::move(failure));
  } else {
    end_peers(call, LastWord::kFailure, std::move(failure));
  }
}

void Mux::on_deadline(Call& call) {
  TRUNKLINE_SOMETIMES("a deadline passes");
  if (TRUNKLINE_MUTANT("deadline-not-kept-there") && !call.is_own) {
    return;
  }
  const bool is_new = call.is_own && !call.is_on_wire;
  refuse(call, {.code = FailureCode::kDeadline, .not_run = is_new, .text = "the time is up"});
  owner_.on_output(*this);
}

void Mux::cancel(CallRef ref) {
  Call* call = find(ref);
  if (call == nullptr || !call->is_own) {
    return;
  }
  const bool was_over = call->is_over;
  call->is_held = false;
  call->is_over = true;
  wheel_.disarm(*call);
  stop_sending(*call);
  stop_receiving(*call);
  if (!call->is_on_wire) {
    leave_wire(*call);
  } else if (!was_over && !TRUNKLINE_MUTANT("cancel-not-told")) {
    queue_last_word(*call, LastWord::kCancel, {.code = FailureCode::kCancelled});
  }
  free_if_done(*call);
}

void Mux::forget(CallRef ref) {
  cancel(ref);
}

void Mux::respond(CallRef ref, std::string payload) {
  Call* call = find(ref);
  if (call == nullptr || call->is_own || call->kind != CallKind::kRequest) {
    return;
  }
  if (!call->is_over && payload.size() > peer_.message_bytes_max) {
    fail(ref, {.code = FailureCode::kTooLarge,
               .text = fmt::format("a response of {} bytes, the caller takes {}", payload.size(),
                                   peer_.message_bytes_max)});
    return;
  }
  // A peer that asks and does not read must not make this side hold what it answers.
  if (!call->is_over && unsent_bytes_ > 0 &&
      unsent_bytes_ + payload.size() > options_.unsent_bytes_max) {
    fail(ref, {.code = FailureCode::kMemory,
               .text = fmt::format("a response of {} bytes, and {} wait to be sent", payload.size(),
                                   unsent_bytes_)});
    return;
  }
  call->is_held = false;
  uncount(*call);
  if (call->is_over) {
    TRUNKLINE_SOMETIMES("a late result is dropped");
    free_if_done(*call);
    return;
  }
  set_current(*call, std::move(payload), true);
  enqueue(*call);
}

void Mux::fail(CallRef ref, Failure failure) {
  Call* call = find(ref);
  if (call == nullptr || call->is_own) {
    return;
  }
  call->is_held = false;
  uncount(*call);
  if (call->is_over) {
    stop_receiving(*call);
    free_if_done(*call);
    return;
  }
  if (failure.not_run) {
    ++stats_.calls_refused;
  }
  call->is_over = true;
  wheel_.disarm(*call);
  stop_sending(*call);
  stop_receiving(*call);
  queue_last_word(*call, LastWord::kFailure, std::move(failure));
}

void Mux::set_token(CallRef ref, std::uint64_t token) {
  if (Call* call = find(ref); call != nullptr) {
    call->token = token;
  }
}

bool Mux::has_room(CallRef ref, std::size_t bytes) {
  Call* call = find(ref);
  if (call == nullptr) {
    return true;
  }
  const std::size_t unsent = call->unsent_bytes();
  const bool is_full =
      (unsent > 0 && unsent + bytes > options_.stream_unsent_bytes) ||
      // Empty messages cost memory, too.
      (call->out != nullptr && call->out->queue.size() >= options_.stream_unsent_bytes / kDataCost);
  call->wants_room = call->wants_room || is_full;
  return !is_full;
}

SendVerdict Mux::send(CallRef ref, std::string message) {
  Call* call = find(ref);
  if (call == nullptr || call->is_over || call->end_queued || call->end_sent ||
      call->kind != CallKind::kStream || message.size() > peer_.message_bytes_max) {
    return SendVerdict::kClosed;
  }
  if (!has_room(ref, message.size())) {
    return SendVerdict::kFull;
  }
  if (call->out != nullptr) {
    call->out->bytes += message.size();
    unsent_bytes_ += message.size();
    call->out->queue.push_back(std::move(message));
  } else {
    set_current(*call, std::move(message), false);
  }
  enqueue(*call);
  return SendVerdict::kAccepted;
}

void Mux::finish(CallRef ref) {
  Call* call = find(ref);
  if (call == nullptr || call->kind != CallKind::kStream) {
    return;
  }
  if (!call->is_own) {
    call->is_held = false;
    uncount(*call);
    stop_receiving(*call);
    if (call->is_over) {
      free_if_done(*call);
      return;
    }
  }
  if (!call->is_over && !call->end_sent) {
    call->end_queued = true;
    enqueue(*call);
  }
}

}  // namespace trunkline::grid
