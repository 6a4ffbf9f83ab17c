// SPDX-License-Identifier: Apache-2.0
//
// Why a call has failed, and whose doing it was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::grid {

// The numbers up to 99 are on the wire (docs/grid-protocol.md, "Failure codes"); the others are
// found out on this side.
enum class FailureCode : std::uint16_t {
  kCancelled = 1,
  kDeadline = 2,
  kUnknownHandler = 3,
  kBusy = 4,
  kTooLarge = 5,
  kMemory = 6,
  kDraining = 7,
  kHandler = 8,
  kThrew = 9,
  kAbandoned = 10,

  kDisconnected = 100,  // the connection was lost
  kNotConnected = 101,  // there is none now
  kFull = 102,          // this side's own limit of calls or unsent bytes
  kInvalid = 103,       // the call could never be made: its name or its size
};

enum class Origin : std::uint8_t {
  kHandler,    // the remote handler said so
  kRemote,     // the remote node refused or ended it
  kTransport,  // the connection
  kCaller,     // this side: cancelled, out of time, against the rules
};

// Thread: any, for all of these.
[[nodiscard]] std::string_view name(FailureCode code);
[[nodiscard]] std::string_view name(Origin origin);

struct Failure {
  FailureCode code = FailureCode::kDisconnected;
  std::uint32_t application = 0;  // the handler's own
  // No handler has seen the call: it may be made again without doing anything twice.
  bool not_run = false;
  // It is the peer's word, or its doing; otherwise this side has found it out by itself.
  bool is_peers = false;
  std::string text{};
};

// Thread: any.
[[nodiscard]] Origin origin(const Failure& failure);
// Of a number that a peer has sent: what only this side may find out is a handler's, as is what a
// later version may mean.
[[nodiscard]] FailureCode code_of_peer(std::uint16_t number);

}  // namespace trunkline::grid
