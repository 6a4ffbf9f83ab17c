// SPDX-License-Identifier: Apache-2.0
//
// Frames from a peer that has proven who it is and may have any fault: the mux must take them or
// say which rule they break; it must never hold more than it has reserved, and hold nothing when
// the connection is gone. Half of the input is read as fields of messages, so that more than the
// decoder is reached.
#include "core/timer_wheel.h"
#include "event_recorder.h"
#include "grid/mux.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::grid;
using trunkline::fuzz::require;

// Answers, reads and ends as the number of the event says.
class Program final : public MuxEvents, public MuxOwner {
 public:
  void on_call(Mux& mux, CallRef call, const PeerCall& what, Arrived payload) override {
    if (++events % 3 == 0) {
      mux.fail(call, {.code = FailureCode::kHandler});
    } else if (what.kind == CallKind::kRequest && events % 3 == 1) {
      mux.respond(call, payload.take());
    } else {
      held.push_back(call);
    }
  }

  void on_result(Mux&, std::uint64_t, Arrived) override {}

  void on_failure(Mux&, std::uint64_t, const Failure&) override {}

  void on_message(Mux& mux, CallRef call, std::uint64_t, Arrived payload) override {
    if (++events % 2 == 0) {
      mux.consumed(call, payload.bytes().size(), {});
    }
  }

  void on_end(Mux&, CallRef, std::uint64_t) override {}

  void on_stop(Mux&, CallRef, std::uint64_t, const Failure&) override {}

  void on_room(Mux&, CallRef, std::uint64_t) override {}

  void on_dead(Mux&, const Error&) override {}

  void on_output(Mux&) override {}

  unsigned events = 0;
  std::vector<CallRef> held;
};

std::string message_of(std::string_view& input) {
  unsigned char fields[8] = {};
  const std::size_t taken = std::min(input.size(), sizeof fields);
  std::memcpy(fields, input.data(), taken);
  input.remove_prefix(taken);
  const std::string payload(fields[6] * 8U, 'x');
  std::string out;
  append_message(out, {.type = static_cast<MessageType>(1 + fields[0] % 12),
                       .id = fields[1] % 16U,
                       .value = fields[2] * 37U,
                       .payload = payload});
  // Flags and numbers are the input's, whether they fit or not.
  out[1] = static_cast<char>(fields[3]);
  out[2] = static_cast<char>(fields[4] % 4);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  MuxOptions options;
  options.limits.calls_max = 8;
  options.limits.stream_window = 1024;
  options.limits.message_bytes_max = 50'000;
  options.stream_window_max = 2048;
  options.handlers_max = 4;
  MemoryPool pool(40'000);
  TimerWheel wheel{TimePoint{}};
  Program program;
  Agreement agreement;
  agreement.checksum = false;
  {
    Mux mux(options, agreement, Side::kAcceptor, pool, wheel, program, program, TimePoint{});
    for (const CallKind kind : {CallKind::kRequest, CallKind::kStream}) {
      static_cast<void>(mux.begin({.kind = kind, .handler = "x"}, TimePoint{}));
    }
    std::string sent;
    mux.gather(sent, 4096, TimePoint{});
    std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    const bool is_raw = (data[0] & 1U) != 0;
    while (!input.empty()) {
      const std::string frame = is_raw ? std::string(input) : message_of(input);
      const Result<void> taken = mux.on_frame(frame, TimePoint{});
      require(mux.check().empty());
      require(pool.used() <= pool.bytes_max());
      if (is_raw || !taken.has_value()) {
        break;
      }
      sent.clear();
      mux.gather(sent, 4096, TimePoint{});
    }
    mux.lose("the end", TimePoint{});
    for (const CallRef call : program.held) {
      mux.fail(call, {});
    }
    require(mux.check().empty());
  }
  require(pool.used() == 0);
  return 0;
}
