// SPDX-License-Identifier: Apache-2.0
//
// What goes out next: the connection's own words, then those of calls that are control, then data,
// piece by piece, as the scheduler says.
#include "core/assert.h"
#include "core/probe.h"
#include "grid/mux.h"

#include <algorithm>
#include <utility>

namespace trunkline::grid {

namespace {

constexpr std::size_t kFailureTextBytesMax = 1024;
// Any control message fits.
constexpr std::size_t kControlRoom = kOverheadBytesMax + kFailureTextBytesMax;
// A first piece fits with some of its payload.
constexpr std::size_t kDataRoom = kOverheadBytesMax + 64;

static_assert(kControlRoom + kChecksumBytes < kFrameBytesMin);

std::uint32_t milliseconds_left(TimePoint deadline, TimePoint now) {
  if (deadline == TimePoint::max()) {
    return 0;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, UINT32_MAX));
}

}  // namespace

bool Mux::wants_write() const {
  return !is_lost_ && (owes_ping_ || owes_pong_ || owes_credit_ || may_say_goaway() ||
                       !control_.empty() || (spent_ < send_limit_ && !scheduler_.empty()));
}

void Mux::gather(std::string& out, std::size_t bytes_max, TimePoint now) {
  if (is_lost_) {
    return;
  }
  now_ = now;
  shed_calls();
  const std::size_t begin = out.size();
  const std::size_t frame = std::min<std::size_t>(std::max<std::size_t>(bytes_max, kFrameBytesMin),
                                                  peer_.frame_bytes_max);
  Batch batch{.out = out,
              .end = begin + frame - (checksum_ ? kChecksumBytes : 0U),
              .small_end = begin + std::max<std::size_t>(options_.small_frame_bytes, 1)};
  if (owes_ping_) {
    ping_sent_ = now;
  }
  gather_connection(batch);
  gather_control(batch);
  gather_data(batch, now);
  if (checksum_ && out.size() > begin) {
    append_checksum(out, begin);
  }
  stats_.bytes_sent += out.size() - begin;
  tell_room();
}

void Mux::append(Batch& batch, const Message& message) {
  append_message(batch.out, message);
  ++stats_.messages_sent;
}

void Mux::gather_connection(Batch& batch) {
  if (std::exchange(owes_pong_, false)) {
    append(batch, {.type = MessageType::kPong, .value = pong_token_});
  }
  if (std::exchange(owes_ping_, false)) {
    append(batch, {.type = MessageType::kPing, .value = ++ping_token_});
  }
  if (std::exchange(owes_credit_, false)) {
    append(batch, {.type = MessageType::kCredit, .value = receive_limit_});
  }
  if (may_say_goaway()) {
    owes_goaway_ = false;
    append(batch, {.type = MessageType::kGoaway, .number = static_cast<std::uint16_t>(drain_)});
  }
}

void Mux::gather_control(Batch& batch) {
  while (batch.room() >= kControlRoom) {
    Call* call = control_.pop_front();
    if (call == nullptr) {
      return;
    }
    if (call->owes_credit) {
      call->owes_credit = false;
      append(batch,
             {.type = MessageType::kCredit, .id = call->wire_id, .value = call->receive_limit()});
    }
    if (call->last_word != LastWord::kNone) {
      say_last_word(*call, batch);
    }
  }
}

void Mux::say_last_word(Call& call, Batch& batch) {
  const Failure& failure = call.rare->failure;
  Message message{
      .type = call.last_word == LastWord::kCancel ? MessageType::kCancel : MessageType::kFailure,
      .number = static_cast<std::uint16_t>(failure.code),
      .id = call.wire_id,
      .value = call.spent};
  if (call.last_word == LastWord::kFailure) {
    message.not_run = failure.not_run;
    message.application = failure.application;
    message.payload = std::string_view(failure.text).substr(0, kFailureTextBytesMax);
  }
  append(batch, message);
  leave_wire(call);
  free_if_done(call);
}

std::uint64_t Mux::stream_credit(const Call& call) {
  return call.send_limit - call.spent;
}

// Whether something of it could leave, were there credit of the connection.
bool Mux::may_send(const Call& call) const {
  if (call.out == nullptr) {
    return call.end_queued;
  }
  if (call.out->is_opening) {
    return true;
  }
  return call.out->is_begun ? stream_credit(call) > 0
                            : stream_credit(call) > kDataCost ||
                                  (stream_credit(call) == kDataCost && call.out->current.empty());
}

void Mux::gather_data(Batch& batch, TimePoint now) {
  while (batch.room() >= kDataRoom && !batch.is_done() && spent_ < send_limit_) {
    Call* call = scheduler_.next();
    if (call == nullptr) {
      return;
    }
    const std::size_t before = batch.out.size();
    send_turn(*call, batch, now);
    scheduler_.charge(batch.out.size() - before);
  }
}

// A call's turn: a piece, or as many small messages as make one.
void Mux::send_turn(Call& call, Batch& batch, TimePoint now) {
  const std::uint32_t generation = call.generation;
  const std::size_t until = batch.out.size() + options_.chunk_bytes;
  while (batch.out.size() < until && batch.room() >= kDataRoom && spent_ < send_limit_ &&
         may_send(call) && send_piece(call, batch, now)) {
    if (call.generation != generation) {
      return;
    }
  }
  enqueue(call);
}

std::uint64_t Mux::next_own_id() const {
  return last_own_id_ == 0 && side_ == Side::kDialler ? 1 : last_own_id_ + 2;
}

// The first piece's message, without payload and total.
Message Mux::head_of(Call& call, TimePoint now) {
  if (!call.out->is_opening) {
    return {.type = MessageType::kData, .id = call.wire_id};
  }
  if (!call.is_own) {
    return {.type = MessageType::kResponse, .id = call.wire_id};
  }
  Message message{.priority = call.priority,
                  .number = call.handler,
                  .deadline_ms = milliseconds_left(call.deadline(), now)};
  if (call.kind == CallKind::kStream) {
    message.type = MessageType::kOpen;
    message.value = call.receive_limit();
  } else {
    message.type = MessageType::kRequest;
  }
  if (call.handler == 0) {
    message.has_name = true;
    message.name = call.rare->unlisted_name;
  } else if (OwnName& name = own_names_[call.handler - 1U]; !name.is_told) {
    message.has_name = name.is_told = true;
    message.name = name.name;
  }
  last_own_id_ = next_own_id();
  put_on_wire(call, last_own_id_);
  message.id = call.wire_id;
  return message;
}

// Sends the next piece, or the End. False when not even a byte of it may leave now.
bool Mux::send_piece(Call& call, Batch& batch, TimePoint now) {
  if (call.out == nullptr) {
    send_end(call, batch);
    return true;
  }
  Outgoing& out = *call.out;
  const std::size_t left = out.current.size() - out.offset;
  std::uint64_t credit = send_limit_ - spent_;
  if (!out.is_opening) {
    credit = std::min(credit, stream_credit(call) - (out.is_begun ? 0 : kDataCost));
  }
  const std::size_t bytes = std::min({left, options_.chunk_bytes, batch.room() - kOverheadBytesMax,
                                      static_cast<std::size_t>(credit)});
  if (bytes == 0 && left > 0) {
    return false;
  }
  Message message =
      out.is_begun ? Message{.type = MessageType::kChunk, .id = call.wire_id} : head_of(call, now);
  message.payload = std::string_view(out.current).substr(out.offset, bytes);
  message.more = bytes < left;
  message.total = message.more && !out.is_begun ? static_cast<std::uint32_t>(left) : 0;
  append(batch, message);
  batch.has_piece = batch.has_piece || message.more || out.is_begun;
  if (!out.is_opening) {
    call.spent += bytes + (out.is_begun ? 0 : kDataCost);
  }
  spent_ += bytes;
  out.is_begun = true;
  out.offset += bytes;
  out.bytes -= bytes;
  unsent_bytes_ -= bytes;
  if (out.offset == out.current.size()) {
    after_message(call);
  } else if (out.current.size() >= kLargeBytes) {
    events_.on_spent(out.current.data(), out.offset - bytes, out.offset);
  }
  return true;
}

void Mux::send_end(Call& call, Batch& batch) {
  append(batch, {.type = MessageType::kEnd, .id = call.wire_id, .value = call.spent});
  call.end_queued = false;
  call.end_sent = true;
  if (!call.is_own) {
    leave_wire(call);
    free_if_done(call);
  }
}

void Mux::after_message(Call& call) {
  Outgoing& out = *call.out;
  if (TRUNKLINE_MUTANT("end-overtakes-the-last") && call.end_queued && out.queue.size() == 1) {
    unsent_bytes_ -= std::exchange(out.bytes, 0U);
    out.queue.clear();
  }
  if (out.queue.empty()) {
    drop_outgoing(call);
  } else {
    out.current = std::move(out.queue.front());
    out.queue.pop_front();
    out.is_begun = out.is_opening = false;
    out.offset = 0;
  }
  if (call.kind == CallKind::kRequest) {
    if (!call.is_own) {  // its response is out
      leave_wire(call);
      free_if_done(call);
    }
    return;
  }
  if (call.wants_room && call.unsent_bytes() <= options_.stream_unsent_bytes / 2 &&
      !call.waits_in_room) {
    call.waits_in_room = true;
    room_.push_back(ref_of(call));
  }
}

void Mux::tell_room() {
  for (std::size_t i = 0; i < room_.size(); ++i) {
    const CallRef ref = room_[i];
    Call* const call = find(ref);
    if (call == nullptr || !call->waits_in_room) {
      continue;
    }
    const bool wants_room = call->wants_room;
    call->waits_in_room = call->wants_room = false;
    if (wants_room) {
      events_.on_room(*this, ref, call->token);
    }
  }
  room_.clear();
}

}  // namespace trunkline::grid
