// SPDX-License-Identifier: Apache-2.0
//
// Frames from a peer that has proven who it is and may have any fault, in either role, with and
// without checksums, while time goes on and the program calls, sends, reads and ends: the mux must
// take them or say which rule they break; it must never hold more than it has reserved, say nothing
// that is no message, and hold nothing when the connection is gone. Half of the input is read as
// fields of messages, so that more than the decoder is reached.
#include "core/timer_wheel.h"
#include "event_recorder.h"
#include "grid/mux.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::grid;
using trunkline::fuzz::require;

// Answers, keeps and reads as the number of the event says; the rest is done by hand.
class Program final : public MuxEvents, public MuxOwner {
 public:
  explicit Program(const TimePoint& now) : now_(now) {}

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
      mux.consumed(call, payload.bytes().size(), now_);
    } else {
      unread.emplace_back(call, payload.bytes().size());
    }
  }

  void on_end(Mux&, CallRef, std::uint64_t) override {}

  void on_stop(Mux&, CallRef, std::uint64_t, const Failure&) override {}

  void on_room(Mux&, CallRef, std::uint64_t) override {}

  void on_dead(Mux& mux, const Error& why) override { mux.lose(why.context, now_); }

  void on_output(Mux&) override {}

  unsigned events = 0;
  std::vector<CallRef> held;  // the peer's
  std::vector<CallRef> own;
  std::vector<std::pair<CallRef, std::size_t>> unread;

 private:
  const TimePoint& now_;
};

using Fields = std::array<unsigned char, 8>;

std::string message_of(const Fields& fields) {
  const std::string payload(fields[6] * 8U, 'x');
  std::string out;
  append_message(out, {.type = static_cast<MessageType>(1 + fields[0] % 16),
                       .id = fields[1] % 16U,
                       .value = fields[2] * 37U,
                       .payload = payload});
  // Flags and numbers are the input's, whether they fit or not.
  out[1] = static_cast<char>(fields[3]);
  out[2] = static_cast<char>(fields[4] % 4);
  return out;
}

// A connection, and everything that may happen to it.
class Run {
 public:
  explicit Run(unsigned flags) : flags_(flags) {
    for (const CallKind kind : {CallKind::kRequest, CallKind::kStream}) {
      begin(kind, 0, 0);
    }
    say();
  }

  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  ~Run() {
    if (!mux_.is_lost()) {
      mux_.lose("the end", now_);
    }
    check();
    for (const CallRef call : program_.held) {
      mux_.fail(call, {});
    }
    for (const CallRef call : program_.own) {
      mux_.forget(call);
    }
    check();
    require(mux_.is_idle());
    require(pool_.used() == 0);
  }

  // False when the connection is over.
  bool receive(std::string frame) {
    if (has_checksum()) {
      append_checksum(frame, 0);
    }
    const bool is_taken = mux_.on_frame(frame, now_).has_value();
    check();
    say();
    return is_taken;
  }

  bool act(const Fields& fields) {
    switch (fields[0] % 16) {
      case 12:
        now_ += std::chrono::milliseconds(fields[1] * 50U);
        wheel_.advance(now_);
        break;
      case 13:
        read(fields[1]);
        break;
      case 14:
        speak(fields);
        break;
      case 15:
        govern(fields);
        break;
      default:
        return receive(message_of(fields));
    }
    check();
    say();
    return !mux_.is_lost();
  }

 private:
  static MuxOptions narrow() {
    MuxOptions options;
    options.limits.calls_max = 8;
    options.limits.stream_window = 1024;
    options.limits.message_bytes_max = 50'000;
    options.stream_window_max = 2048;
    options.stream_unsent_bytes = 2000;
    options.stream_rescue_max = 4096;
    options.chunk_bytes = 600;
    options.handlers_max = 4;
    options.calls_max = 16;
    return options;
  }

  [[nodiscard]] bool has_checksum() const { return (flags_ & 4U) != 0; }

  [[nodiscard]] Agreement agreement() const {
    Agreement agreement;
    agreement.checksum = has_checksum();
    agreement.peer_limits = options_.limits;
    return agreement;
  }

  void check() const {
    require(mux_.check().empty());
    require(pool_.used() <= pool_.bytes_max());
  }

  // What it says must be what another one could read.
  void say() {
    if (mux_.is_lost()) {
      return;
    }
    std::string frame;
    mux_.gather(frame, 4096, now_);
    if (frame.empty()) {
      return;
    }
    std::string_view rest = frame;
    if (has_checksum()) {
      const Result<std::string_view> covered = check_checksum(frame);
      require(covered.has_value());
      rest = *covered;
    }
    while (!rest.empty()) {
      require(take_message(rest).has_value());
    }
    check();
  }

  void begin(CallKind kind, unsigned bytes, unsigned seconds) {
    const auto begun = mux_.begin(
        {.kind = kind,
         .handler = "x",
         .payload = std::string(bytes, 'p'),
         .deadline = seconds == 0 ? TimePoint::max() : now_ + std::chrono::seconds(seconds)},
        now_);
    if (begun.has_value()) {
      program_.own.push_back(*begun);
    }
  }

  void read(unsigned which) {
    if (!program_.unread.empty()) {
      const auto at =
          program_.unread.begin() + static_cast<std::ptrdiff_t>(which % program_.unread.size());
      const auto [call, bytes] = *at;
      program_.unread.erase(at);
      mux_.consumed(call, bytes, now_);
    }
  }

  // On a call of either side, whatever has become of it.
  void speak(const Fields& fields) {
    const std::vector<CallRef>& calls = (fields[1] & 1U) != 0 ? program_.own : program_.held;
    if (calls.empty()) {
      return;
    }
    const CallRef call = calls[fields[1] / 2U % calls.size()];
    const std::string bytes(fields[2] * 16U, 's');
    switch (fields[3] % 6) {
      case 0:
        mux_.finish(call);
        break;
      case 1:
        mux_.fail(call, {.code = FailureCode::kHandler, .text = bytes});
        break;
      case 2:
        mux_.respond(call, bytes);
        break;
      case 3:
        mux_.cancel(call);
        break;
      default:
        static_cast<void>(mux_.send(call, bytes));
        break;
    }
  }

  void govern(const Fields& fields) {
    switch (fields[1] % 8) {
      case 0:
        begin(CallKind::kRequest, fields[2] * 16U, fields[3] % 8);
        break;
      case 1:
        begin(CallKind::kStream, fields[2], fields[3] % 8);
        break;
      case 2:
        mux_.drain((fields[2] & 1U) != 0 ? Drain::kMoved : Drain::kEnding);
        break;
      case 3:
        mux_.probe();
        break;
      case 4:
        mux_.socket_blocked(now_);
        break;
      case 5:
        mux_.socket_progressed(now_);
        break;
      case 6:
        mux_.socket_idle();
        break;
      default:
        if (!program_.own.empty()) {
          mux_.limit_window(program_.own[fields[2] % program_.own.size()], fields[3] * 16U);
        }
        break;
    }
  }

  const unsigned flags_;
  TimePoint now_{std::chrono::seconds(1)};
  const MuxOptions options_ = narrow();
  MemoryPool pool_{40'000};
  TimerWheel wheel_{now_};
  Program program_{now_};
  Mux mux_{options_, agreement(), (flags_ & 2U) != 0 ? Side::kDialler : Side::kAcceptor,
           pool_,    wheel_,      program_,
           program_, now_};
};

}  // namespace

// The first byte: bit 0 one frame as it is, bit 1 the dialler, bit 2 checksums.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  Run run(data[0]);
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1U) != 0) {
    static_cast<void>(run.receive(std::string(input)));
    return 0;
  }
  bool goes_on = true;
  while (goes_on && !input.empty()) {
    Fields fields{};
    const std::size_t taken = std::min(input.size(), fields.size());
    std::memcpy(fields.data(), input.data(), taken);
    input.remove_prefix(taken);
    goes_on = run.act(fields);
  }
  return 0;
}
