// SPDX-License-Identifier: Apache-2.0
//
// Large messages, put together from their pieces.
#include "core/probe.h"
#include "grid/mux.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::grid {

// `call.in` is there and the pool has reserved it. Had at once and not as it grows: moving tens of
// megabytes again and again would keep small calls waiting. Nothing is touched before it comes.
void Mux::begin_partial(Call& call, const Message& message) {
  std::string& bytes = call.in->bytes;
  bool is_new = false;
  bytes = pool_.take_buffer(message.total, now_, is_new);
  if (is_new && message.total >= kLargeBytes) {
    events_.on_will_fill(bytes.data(), bytes.capacity());
  }
  bytes = message.payload;
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
  Incoming* const in = call->in.get();
  const std::size_t had = in != nullptr ? in->bytes.size() : 0;
  const std::size_t total = in != nullptr ? in->total : 0;
  const std::size_t have = had + message.payload.size();
  if (in == nullptr || have > total || (have == total) == message.more) {
    return broken(fmt::format("a chunk of {} bytes on call {}, which has {} of {}",
                              message.payload.size(), message.id, had, total));
  }
  if (in->is_counted) {
    if (Result<void> counted = count_stream(*call, message.payload.size()); !counted.has_value()) {
      return counted;
    }
  }
  if (TRUNKLINE_MUTANT("chunk-in-front") && !in->is_counted) {
    in->bytes.insert(0, message.payload);
  } else {
    in->bytes += message.payload;
  }
  if (!message.more) {
    complete(*call);
  }
  return {};
}

// A message has been put together.
void Mux::complete(Call& call) {
  const std::unique_ptr<Incoming> in = std::move(call.in);
  pool_.release(in->reserved);
  deliver_whole(call, in->bytes, in->is_counted);
  pool_.give_buffer(std::move(in->bytes), now_);  // when nobody has taken it
}

void Mux::deliver_whole(Call& call, std::string& whole, bool is_data) {
  if (is_data) {
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
