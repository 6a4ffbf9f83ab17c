// SPDX-License-Identifier: Apache-2.0
//
// What comes in. Every rule of docs/grid-protocol.md that can be broken is checked here or in wire;
// breaking one ends the connection.
#include "core/assert.h"
#include "core/probe.h"
#include "grid/mux.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid {

namespace {

// One after the other, so that the round trip is known before there is much to send.
constexpr std::uint64_t kFirstPings = 4;

// Of the message that begins here, however many pieces it comes in.
std::size_t whole_bytes(const Message& first) {
  return first.more ? first.total : first.payload.size();
}

bool has_counted_payload(MessageType type) {
  return type >= MessageType::kRequest && type <= MessageType::kChunk;
}

}  // namespace

Result<void> Mux::on_frame(std::string_view frame, TimePoint now) {
  last_received_ = now_ = now;
  fit_window(now);
  stats_.bytes_received += frame.size();
  if (checksum_) {
    const Result<std::string_view> covered = check_checksum(frame);
    if (!covered.has_value()) {
      return std::unexpected(covered.error());
    }
    frame = *covered;
  }
  while (!frame.empty() && !is_lost_) {
    const Result<Message> message = take_message(frame);
    if (!message.has_value()) {
      return std::unexpected(message.error());
    }
    ++stats_.messages_received;
    if (const Result<void> taken = take(*message, now); !taken.has_value()) {
      return taken;
    }
  }
  return {};
}

Result<void> Mux::take(const Message& message, TimePoint now) {
  if (has_counted_payload(message.type)) {
    if (const Result<void> counted = count_payload(message); !counted.has_value()) {
      return counted;
    }
  }
  switch (message.type) {
    case MessageType::kRequest:
    case MessageType::kOpen:
      return on_new_call(message, now);
    case MessageType::kResponse:
      return on_response(message);
    case MessageType::kData:
      return on_data(message, now);
    case MessageType::kChunk:
      return on_chunk(message);
    case MessageType::kEnd:
      return on_peer_end(message);
    case MessageType::kFailure:
      return on_peer_failure(message);
    case MessageType::kCancel:
      return on_peer_cancel(message);
    case MessageType::kCredit:
      return on_credit(message);
    case MessageType::kPing:
      owes_pong_ = !TRUNKLINE_MUTANT("no-pong");
      pong_token_ = message.value;
      return {};
    case MessageType::kPong:
      if (message.value > ping_token_) {
        return broken(fmt::format("pong {} for {} pings", message.value, ping_token_));
      }
      last_pong_ = std::max(last_pong_, message.value);
      if (message.value == ping_token_) {
        stats_.round_trip = now - ping_sent_;
        shortest_round_trip_ = std::min(shortest_round_trip_, stats_.round_trip);
        owes_ping_ = owes_ping_ || ping_token_ < kFirstPings;
      }
      return {};
    case MessageType::kGoaway:
      peer_drains_ = true;
      return {};
  }
  return broken("a message of no type");
}

// The connection's credit is returned on receipt: it bounds what is under way, and waits for no
// program.
Result<void> Mux::count_payload(const Message& message) {
  received_ += message.payload.size();
  if (received_ > receive_limit_) {
    return broken(fmt::format("{} bytes were sent on the connection, {} were granted", received_,
                              receive_limit_));
  }
  if (receive_limit_ - received_ <= window_ / 4 * 3) {
    receive_limit_ = received_ + window_;
    owes_credit_ = true;
  }
  return {};
}

Result<Call*> Mux::call_of(const Message& message) {
  if (Call* call = on_wire(message.id); call != nullptr) {
    return call;
  }
  const bool is_own = (message.id % 2 == 1) == (side_ == Side::kDialler);
  if (message.id > (is_own ? last_own_id_ : last_peer_id_)) {
    return broken(
        fmt::format("{} of call {}, which there never was", name(message.type), message.id));
  }
  ++stats_.late_dropped;
  return nullptr;
}

Result<void> Mux::set_handler(Call& call, const Message& message) {
  if (message.number > kHandlerNumbersMax) {
    return broken(fmt::format("handler number {}", message.number));
  }
  if (message.number == 0) {
    if (!message.has_name) {
      return broken(fmt::format("call {} of no handler", message.id));
    }
    call.rare_part().unlisted_name = message.name;
    return {};
  }
  if (message.number > peer_names_.size()) {
    peer_names_.resize(message.number);
  }
  std::string& known = peer_names_[message.number - 1U];
  if (message.has_name != known.empty()) {
    return broken(fmt::format("handler number {} is {}", message.number,
                              known.empty() ? "used before it has a name" : "given a name twice"));
  }
  if (message.has_name) {
    known = message.name;
  }
  call.handler = message.number;
  return {};
}

std::optional<Failure> Mux::why_refuse(const Message& message, Call& call) {
  const auto because = [](FailureCode code, std::string text) {
    return Failure{.code = code, .not_run = true, .text = std::move(text)};
  };
  const std::size_t bytes = whole_bytes(message);
  if (is_draining_ && drain_ == Drain::kEnding) {
    return because(FailureCode::kDraining, "the node is ending");
  }
  if (*peers_handlers_ >= options_.handlers_max) {
    return because(FailureCode::kBusy, fmt::format("{} handlers are running", *peers_handlers_));
  }
  if (unsent_bytes_ > options_.unsent_bytes_max) {
    return because(FailureCode::kBusy, fmt::format("{} bytes wait to be sent", unsent_bytes_));
  }
  if (bytes > options_.limits.message_bytes_max) {
    return because(FailureCode::kTooLarge,
                   fmt::format("{} bytes, {} are taken", bytes, options_.limits.message_bytes_max));
  }
  if (message.more && !pool_.try_reserve(message.total)) {
    TRUNKLINE_SOMETIMES("no memory to put a message together");
    return because(FailureCode::kMemory, fmt::format("{} of {} bytes for messages are in use",
                                                     pool_.used(), pool_.bytes_max()));
  }
  if (message.more) {
    call.in =
        std::make_unique<Incoming>(Incoming{.total = message.total, .reserved = message.total});
  }
  if (call.kind == CallKind::kStream && !grant_first(call)) {
    return because(FailureCode::kMemory, fmt::format("{} of {} bytes for streams are in use",
                                                     pool_.used(), pool_.bytes_max()));
  }
  return std::nullopt;
}

Result<void> Mux::on_new_call(const Message& message, TimePoint now) {
  const bool is_own = (message.id % 2 == 1) == (side_ == Side::kDialler);
  if (is_own || message.id <= last_peer_id_) {
    return broken(fmt::format("call {} is begun after {}", message.id, last_peer_id_));
  }
  if (peer_calls_ >= options_.limits.calls_max) {
    return broken(fmt::format("{} calls are unanswered, no more are taken", peer_calls_));
  }
  last_peer_id_ = message.id;
  ++stats_.calls_taken;
  Call& call = calls_.take();
  call.kind = message.type == MessageType::kOpen ? CallKind::kStream : CallKind::kRequest;
  call.priority = message.priority;
  call.send_limit = message.value;
  put_on_wire(call, message.id);
  if (const Result<void> named = set_handler(call, message); !named.has_value()) {
    return named;
  }
  if (std::optional<Failure> failure = why_refuse(message, call); failure.has_value()) {
    ++stats_.calls_refused;
    call.is_over = true;
    stop_receiving(call);
    queue_last_word(call, LastWord::kFailure, std::move(*failure));
    return {};
  }
  call.is_counted = true;
  ++handlers_;
  ++*peers_handlers_;
  if (message.deadline_ms != 0) {
    wheel_.arm(call, now + std::chrono::milliseconds(message.deadline_ms));
  }
  if (message.more) {
    begin_partial(call, message);
    return {};
  }
  deliver_call(call, Arrived(message.payload));
  return {};
}

void Mux::deliver_call(Call& call, Arrived payload) {
  call.is_held = true;
  // A name may go with its table when the call is over before the event returns.
  const std::string_view handler = call.handler == 0 ? std::string_view(call.rare->unlisted_name)
                                                     : peer_names_[call.handler - 1U];
  events_.on_call(*this, ref_of(call),
                  {.kind = call.kind,
                   .handler = handler,
                   .deadline = call.deadline(),
                   .priority = call.priority},
                  payload);
}

Result<void> Mux::on_response(const Message& message) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (!call->is_own || call->kind != CallKind::kRequest) {
    return broken(
        fmt::format("a response to call {}, which is no request of this side", message.id));
  }
  if (call->is_deaf) {
    ++stats_.late_dropped;
    return {};
  }
  if (call->out != nullptr || call->in != nullptr) {
    return broken(fmt::format("a response to call {}, which is {}", message.id,
                              call->out != nullptr ? "not sent completely" : "answered already"));
  }
  const std::size_t bytes = whole_bytes(message);
  const bool is_too_large = bytes > options_.limits.message_bytes_max;
  if (!message.more && !is_too_large) {
    const std::uint64_t token = call->token;
    call->is_held = false;
    leave_wire(*call);
    free_if_done(*call);
    events_.on_result(*this, token, Arrived(message.payload));
    return {};
  }
  if (is_too_large || !pool_.try_reserve(bytes)) {
    // What has come whole leaves the peer nothing to stop.
    end_own(*call, message.more ? LastWord::kCancel : LastWord::kNone,
            {.code = is_too_large ? FailureCode::kTooLarge : FailureCode::kMemory,
             .text = fmt::format("a response of {} bytes", bytes)});
    return {};
  }
  call->in =
      std::make_unique<Incoming>(Incoming{.total = message.total, .reserved = message.total});
  begin_partial(*call, message);
  return {};
}

Result<void> Mux::on_data(const Message& message, TimePoint /*now*/) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (call->kind != CallKind::kStream || call->in != nullptr || call->input_ended) {
    return broken(fmt::format("data on call {}, which {}", message.id,
                              call->kind != CallKind::kStream ? "is no stream"
                              : call->in != nullptr           ? "has an unfinished message"
                                                              : "has ended"));
  }
  if (call->is_deaf) {
    ++stats_.late_dropped;
    return {};
  }
  if (Result<void> counted = count_stream(*call, kDataCost + message.payload.size());
      !counted.has_value()) {
    return counted;
  }
  const std::size_t bytes = whole_bytes(message);
  const bool is_too_large = bytes > options_.limits.message_bytes_max;
  if (!message.more && !is_too_large) {
    events_.on_message(*this, ref_of(*call), call->token, Arrived(message.payload));
    return {};
  }
  // Begun, so that what is refused is given up as a whole.
  call->in = std::make_unique<Incoming>(
      Incoming{.bytes = std::string(message.payload), .total = message.total, .is_counted = true});
  if (is_too_large) {
    refuse(*call, {.code = FailureCode::kTooLarge,
                   .text = fmt::format("a message of {} bytes, {} are taken", bytes,
                                       options_.limits.message_bytes_max)});
  } else if (!grant_message(*call, bytes - message.payload.size())) {
    TRUNKLINE_SOMETIMES("no memory to put a stream's message together");
    refuse(*call, {.code = FailureCode::kMemory,
                   .text = fmt::format("no memory for a message of {} bytes", message.total)});
  } else {
    begin_partial(*call, message);
  }
  return {};
}

Result<void> Mux::on_peer_end(const Message& message) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (call->kind != CallKind::kStream || call->input_ended) {
    return broken(fmt::format("an end of call {}, which {}", message.id,
                              call->input_ended ? "has ended already" : "is no stream"));
  }
  call->input_ended = true;
  if (call->is_deaf) {
    ++stats_.late_dropped;
    return {};
  }
  if (call->in != nullptr || message.value != call->received) {
    return broken(fmt::format("stream {} ends after {} bytes, {} have come", message.id,
                              message.value, call->received));
  }
  const CallRef ref = ref_of(*call);
  const std::uint64_t token = call->token;
  if (call->is_own) {
    call->is_over = true;
    wheel_.disarm(*call);
    stop_sending(*call);
    stop_receiving(*call);
    leave_wire(*call);
    free_if_done(*call);
  }
  events_.on_end(*this, ref, token);
  return {};
}

Result<void> Mux::on_peer_failure(const Message& message) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (!call->is_own) {
    return broken(fmt::format("a failure of call {}, which the peer itself has made", message.id));
  }
  if (call->is_over) {  // its Cancel crosses the failure
    leave_wire(*call);
    free_if_done(*call);
    return {};
  }
  if (message.value != call->received) {
    return broken(fmt::format("call {} fails after {} bytes, {} have come", message.id,
                              message.value, call->received));
  }
  end_own(*call, LastWord::kNone,
          {.code = code_of_peer(message.number),
           .application = message.application,
           .not_run = message.not_run,
           .is_peers = true,
           .text = std::string(message.payload)});
  return {};
}

Result<void> Mux::on_peer_cancel(const Message& message) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (call->is_own) {
    return broken(fmt::format("a cancel of call {}, which this side has made", message.id));
  }
  if (call->is_over) {  // its failure waits to be told, and need not be any more
    leave_wire(*call);
    free_if_done(*call);
    return {};
  }
  if (!call->is_deaf && message.value != call->received) {
    return broken(fmt::format("call {} is cancelled after {} bytes, {} have come", message.id,
                              message.value, call->received));
  }
  end_peers(
      *call, LastWord::kNone,
      {.code = code_of_peer(message.number), .is_peers = true, .text = "the caller has cancelled"});
  return {};
}

Result<void> Mux::on_credit(const Message& message) {
  if (message.id == 0) {
    send_limit_ = std::max(send_limit_, message.value);
    return {};
  }
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr) {
    return {};
  }
  if (call->kind != CallKind::kStream) {
    return broken(fmt::format("credit for call {}, which is no stream", message.id));
  }
  if (message.value > call->send_limit) {
    call->send_limit = message.value;
    if (call->out != nullptr && may_send(*call)) {
      call->out->blocked_since = TimePoint::max();
    }
    enqueue(*call);
  }
  return {};
}

}  // namespace trunkline::grid
