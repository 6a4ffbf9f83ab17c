// SPDX-License-Identifier: Apache-2.0
//
// Large messages, put together from their pieces.
#include "core/probe.h"
#include "grid/mux.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::grid {

// The pool has reserved it. Had at once and not as it grows: moving tens of megabytes again and
// again would keep small calls waiting. Nothing is touched before it comes.
void Mux::begin_partial(Call& call, const Message& message) {
  call.is_receiving = true;
  call.partial_total = message.total;
  bool is_new = false;
  call.partial = pool_.take_buffer(message.total, now_, is_new);
  if (is_new && message.total >= kLargeBytes) {
    events_.on_will_fill(call.partial.data(), call.partial.capacity());
  }
  call.partial = message.payload;
}

Result<void> Mux::on_chunk(const Message& message) {
  const Result<Call*> found = call_of(message);
  if (!found.has_value()) {
    return std::unexpected(found.error());
  }
  Call* call = *found;
  if (call == nullptr || call->is_deaf) {
    ++stats_.late_dropped;
    return {};
  }
  const std::size_t have = call->partial.size() + message.payload.size();
  if (!call->is_receiving || have > call->partial_total ||
      (have == call->partial_total) == message.more) {
    return trunkline::fail(ErrorCode::kProtocolError,
                           fmt::format("a chunk of {} bytes on call {}, which has {} of {}",
                                       message.payload.size(), message.id, call->partial.size(),
                                       call->is_receiving ? call->partial_total : 0));
  }
  if (call->partial_counts) {
    if (Result<void> counted = count_stream(*call, message.payload.size()); !counted.has_value()) {
      return counted;
    }
  }
  if (TRUNKLINE_MUTANT("chunk-in-front") && !call->partial_counts) {
    call->partial.insert(0, message.payload);
  } else {
    call->partial += message.payload;
  }
  if (!message.more) {
    complete(*call);
  }
  return {};
}

// A message has been put together.
void Mux::complete(Call& call) {
  std::string whole = std::move(call.partial);
  call.partial = {};
  call.is_receiving = false;
  pool_.release(std::exchange(call.partial_reserved, 0U));
  deliver_whole(call, whole);
  pool_.give_buffer(std::move(whole), now_);  // when nobody has taken it
}

void Mux::deliver_whole(Call& call, std::string& whole) {
  if (std::exchange(call.partial_counts, false)) {
    events_.on_message(*this, ref_of(call), call.token, Arrived(whole));
  } else if (call.is_own) {
    const std::uint64_t token = call.token;
    call.is_held = false;
    leave_wire(call);
    free_if_done(call);
    events_.on_result(*this, token, Arrived(whole));
  } else {
    deliver_call(call, Arrived(whole));
  }
}

}  // namespace trunkline::grid
