// SPDX-License-Identifier: Apache-2.0
//
// Brings one connection up, in either role. It is told messages and the time and gives messages.
//
//   dialler:   start() → Hello … Hello → Proof … Welcome → kDone
//   acceptor:  Hello → Hello … Proof → kProven; then accept() → Welcome and kDone, or refuse()
//
// Whatever goes wrong ends in kRefused with a reason, which the other side is told as well, unless
// it was the one who said it.
#pragma once

#include "core/time.h"
#include "grid/hello.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::grid {

// Who a node is. Constant after construction.
struct Identity {
  std::string name{};
  Instance instance{};
  // Shared by all nodes; empty: whoever reaches the port may speak. At least 16 bytes otherwise.
  std::string secret{};
  PeerLimits limits{};
  bool wants_checksum = false;
  // Of no grid: it only dials, under any name that no member has. For tools.
  bool is_guest = false;
  Duration skew_max = std::chrono::minutes(5);  // 0: clocks may differ
};

enum class Side : std::uint8_t { kDialler, kAcceptor };

// What was agreed.
struct Agreement {
  std::string peer{};
  Instance instance{};
  std::uint8_t version = kWireVersion;
  bool checksum = false;
  bool is_guest = false;  // the peer
  PeerLimits peer_limits{};
  std::chrono::milliseconds skew{0};  // the peer's clock less ours
};

// Thread: owning shard.
class Handshake {
 public:
  enum class State : std::uint8_t {
    kWaiting,
    kProven,  // acceptor: the peer is who it says; the owner decides
    kDone,
    kRefused,
  };

  // `identity` must outlive this. `peer`: who has to be there (dialler), or empty.
  Handshake(const Identity& identity, Side side, std::string peer, const Nonce& nonce);

  // Dialler: the first message.
  [[nodiscard]] std::string start(Now now);
  // Takes a message and gives what to answer, which may be nothing.
  [[nodiscard]] std::string on_message(std::string_view message, Now now);
  // Acceptor in kProven: takes the peer in.
  [[nodiscard]] std::string accept();
  // In kWaiting and kProven: ends it. Gives what to tell the peer before the socket is closed.
  [[nodiscard]] std::string refuse(Refusal refusal);

  [[nodiscard]] State state() const { return state_; }

  [[nodiscard]] Side side() const { return side_; }

  // In kProven and kDone.
  [[nodiscard]] const Agreement& agreement() const { return agreement_; }

  // In kRefused.
  [[nodiscard]] const Refusal& refusal() const { return refusal_; }

  [[nodiscard]] bool refused_by_peer() const { return is_refused_by_peer_; }

 private:
  [[nodiscard]] std::string make_hello(Now now);
  [[nodiscard]] std::string on_hello(std::string_view message, Now now);
  [[nodiscard]] std::string on_proof(std::string_view message);
  [[nodiscard]] Result<void> check_peer(const Hello& hello, Now now, RefusalCode& code);
  [[nodiscard]] std::string_view dialler_hello() const;
  [[nodiscard]] std::string_view acceptor_hello() const;

  const Identity& identity_;
  const Side side_;
  const std::string expected_;
  const Nonce nonce_;
  State state_ = State::kWaiting;
  std::string own_hello_;
  std::string peer_hello_;
  Agreement agreement_;
  Refusal refusal_;
  bool is_refused_by_peer_ = false;
};

}  // namespace trunkline::grid
