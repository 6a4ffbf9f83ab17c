// SPDX-License-Identifier: Apache-2.0
//
// The end of a stream never overtakes its last message, over a million streams: cut into frames
// anywhere, half of them with messages that are larger than their window and come in pieces,
// so that they wait for a credit while their end waits behind them.
#include "core/random.h"
#include "grid/mux.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::grid {
namespace {

constexpr std::uint64_t kStreams = 1'000'000;
constexpr std::uint64_t kAtOnce = 500;
constexpr std::uint32_t kWindow = 1024;
constexpr std::size_t kChunkBytes = 1000;

bool is_wide(std::uint64_t token) {
  return token % 2 == 1;
}

unsigned messages_of(std::uint64_t token) {
  return static_cast<unsigned>(token % 5);
}

// The n-th message of a stream.
std::size_t bytes_of(std::uint64_t token, unsigned number) {
  return is_wide(token) ? 200 + (token + number) % 7 * 300 : number * (token % 97);
}

char letter_of(std::uint64_t token, unsigned number) {
  return static_cast<char>('a' + (token + number) % 26);
}

// Opens streams, counts what comes and takes it late; the other side sends and returns at once.
class Counter final : public MuxEvents, public MuxOwner {
 public:
  void on_call(Mux& mux, CallRef call, const PeerCall&, Arrived payload) override {
    const std::uint64_t token = std::stoull(std::string(payload.bytes()));
    for (unsigned number = 0; number < messages_of(token); ++number) {
      std::string message(bytes_of(token, number), letter_of(token, number));
      ASSERT_EQ(mux.send(call, std::move(message)), SendVerdict::kAccepted);
    }
    mux.finish(call);
  }

  void on_message(Mux&, CallRef call, std::uint64_t token, Arrived payload) override {
    const std::string_view bytes = payload.bytes();
    const unsigned number = came[token]++;
    const bool is_it = bytes.size() == bytes_of(token, number) &&
                       (bytes.empty() || (bytes.front() == letter_of(token, number) &&
                                          bytes.back() == letter_of(token, number)));
    wrong += is_it ? 0U : 1U;
    unread.emplace_back(call, bytes.size());
  }

  void on_end(Mux& mux, CallRef call, std::uint64_t token) override {
    wrong += came[token] == messages_of(token) ? 0U : 1U;
    came[token] = kEnded;
    ++ended;
    mux.forget(call);
  }

  void on_failure(Mux&, std::uint64_t, const Failure&) override { ++wrong; }

  void on_result(Mux&, std::uint64_t, Arrived) override { ++wrong; }

  void on_stop(Mux&, CallRef, std::uint64_t, const Failure&) override { ++wrong; }

  void on_room(Mux&, CallRef, std::uint64_t) override {}

  void on_dead(Mux&, const Error&) override { ++wrong; }

  void on_output(Mux&) override {}

  void read_all(Mux& mux) {
    for (const auto& [call, bytes] : unread) {
      mux.consumed(call, bytes, TimePoint{});
    }
    unread.clear();
  }

  static constexpr std::uint8_t kEnded = 100;  // whatever comes now is wrong

  std::vector<std::uint8_t> came = std::vector<std::uint8_t>(kStreams);
  std::vector<std::pair<CallRef, std::size_t>> unread;
  std::uint64_t ended = 0;
  std::uint64_t wrong = 0;
};

// Reads what goes over the wire, and keeps an account of every stream's credit by itself.
class Listener {
 public:
  void to_callee(std::string_view frame) {
    while (!frame.empty()) {
      const Message message = take_message(frame).value();
      if (message.type == MessageType::kOpen) {
        accounts_[message.id].limit = message.value;
      } else if (const auto found = accounts_.find(message.id);
                 message.type == MessageType::kCredit && found != accounts_.end()) {
        Account& account = found->second;
        account.is_used_up = account.limit - account.spent <= kDataCost;
        account.limit = std::max(account.limit, message.value);
      }
    }
  }

  void to_caller(std::string_view frame) {
    while (!frame.empty()) {
      const Message message = take_message(frame).value();
      if (message.id == 0) {
        continue;
      }
      const auto found = accounts_.find(message.id);
      if (found == accounts_.end()) {
        ++wrong;  // behind its end
      } else if (message.type == MessageType::kEnd) {
        wrong += message.value == found->second.spent ? 0U : 1U;
        waited += found->second.has_waited ? 1U : 0U;
        accounts_.erase(found);
      } else {
        spend(found->second, message);
      }
    }
  }

  std::uint64_t waited = 0;  // streams that had no credit, and went on when they got some
  std::uint64_t pieces = 0;  // Chunks
  std::uint64_t wrong = 0;

 private:
  struct Account {
    std::uint64_t limit = 0;
    std::uint64_t spent = 0;
    bool is_used_up = false;  // or was, before the last credit
    bool has_waited = false;
  };

  void spend(Account& account, const Message& message) {
    const bool is_chunk = message.type == MessageType::kChunk;
    account.spent += message.payload.size() + (is_chunk ? 0 : kDataCost);
    account.has_waited |= account.is_used_up;
    pieces += is_chunk ? 1U : 0U;
    wrong += account.spent <= account.limit ? 0U : 1U;
  }

  std::unordered_map<std::uint64_t, Account> accounts_;  // by wire id
};

class MillionStreams : public ::testing::Test {
 protected:
  static MuxOptions options_of_both() {
    MuxOptions options;
    options.limits.stream_window = kWindow;
    options.limits.connection_window = 65'536;
    options.stream_window_max = 2UL * kWindow;
    options.chunk_bytes = kChunkBytes;
    return options;
  }

  static Agreement agreement_of_both() {
    Agreement agreement;
    agreement.peer_limits = options_of_both().limits;
    return agreement;
  }

  void open_some() {
    while (begun < kStreams && begun - caller.ended < kAtOnce) {
      ASSERT_TRUE(one.begin({.kind = CallKind::kStream,
                             .handler = "x",
                             .payload = std::to_string(begun),
                             .token = begun},
                            TimePoint{})
                      .has_value());
      ++begun;
    }
  }

  void carry(Mux& from, Mux& to) {
    frame.clear();
    from.gather(frame, 4096 + random.below(60'000), TimePoint{});
    if (&from == &one) {
      wire.to_callee(frame);
    } else {
      wire.to_caller(frame);
    }
    const Result<void> taken = to.on_frame(frame, TimePoint{});
    ASSERT_TRUE(taken.has_value()) << taken.error().context;
  }

  [[nodiscard]] std::uint64_t wrong() const { return caller.wrong + callee.wrong + wire.wrong; }

  const MuxOptions options = options_of_both();
  MemoryPool pool{64U << 20U};
  TimerWheel wheel{TimePoint{}};
  Counter caller;
  Counter callee;
  Mux one{options, agreement_of_both(), Side::kDialler, pool, wheel, caller, caller, TimePoint{}};
  Mux other{options, agreement_of_both(), Side::kAcceptor, pool, wheel, callee,
            callee,  TimePoint{}};
  Listener wire;
  Random random{7};
  std::uint64_t begun = 0;
  std::string frame;
};

TEST_F(MillionStreams, EachHasAllOfItsMessagesBeforeItsEnd) {
  while (caller.ended < kStreams && wrong() == 0 && !HasFatalFailure()) {
    open_some();
    carry(one, other);
    carry(other, one);
    if (random.one_in(3)) {
      caller.read_all(one);
    }
  }
  EXPECT_EQ(wrong(), 0U);
  EXPECT_EQ(caller.ended, kStreams);
  EXPECT_GT(wire.waited, kStreams / 4);
  EXPECT_GT(wire.pieces, kStreams / 2);
  EXPECT_TRUE(one.is_idle());
  EXPECT_TRUE(other.is_idle());
  EXPECT_EQ(pool.used(), 0U);
}

}  // namespace
}  // namespace trunkline::grid
