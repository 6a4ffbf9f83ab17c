// SPDX-License-Identifier: Apache-2.0
//
// What a node takes from a peer, and what it asks of itself. Told to the peer in Hello where the
// peer has to keep to it.
#pragma once

#include "core/time.h"

#include <cstddef>
#include <cstdint>

namespace trunkline::grid {

// Told in Hello; the other side keeps to them or loses the connection.
struct PeerLimits {
  std::uint32_t frame_bytes_max = 256U * 1024;
  std::uint32_t message_bytes_max = 64U * 1024 * 1024;
  std::uint32_t calls_max = 16'384;
  // Small: every stream that the peer opens costs so much of the pool from its first moment.
  std::uint32_t stream_window = 16U * 1024;
  // To begin with; it grows to what the link needs (MuxOptions::connection_window_max).
  std::uint64_t connection_window = 256UL * 1024;

  friend bool operator==(const PeerLimits&, const PeerLimits&) = default;
};

inline constexpr std::uint32_t kFrameBytesMin = 4096;
inline constexpr std::uint32_t kFrameBytesBound = 16U * 1024 * 1024;
inline constexpr std::uint64_t kConnectionWindowMin = 65'536;
inline constexpr std::uint32_t kStreamWindowMin = 1024;
// What a stream's message counts beside its payload.
inline constexpr std::uint64_t kDataCost = 32;
// A message from which on it pays to tell the operating system what becomes of its memory.
inline constexpr std::size_t kLargeBytes = 4UL * 1024 * 1024;
// Of one stream's window and of its rescue: what it holds in all is counted in 32 bits.
inline constexpr std::size_t kStreamBytesBound = 1024UL * 1024 * 1024;
// Before the handshake has told another.
inline constexpr std::size_t kHandshakeBytesMax = 4096;

struct MuxOptions {
  PeerLimits limits{};
  // Pieces of a message; a small call waits for at most a few of them.
  std::size_t chunk_bytes = 16UL * 1024;
  // A frame of whole messages ends behind so much: the peer works on them while this side goes on.
  std::size_t small_frame_bytes = 16UL * 1024;
  // What may be under way to this side: as much as comes in two round trips of an idle link and
  // connection_queueing, but no more than this and no less than limits.connection_window.
  // Everything that is sent waits behind what is under way, small calls too, so it is not as much
  // as there is memory.
  std::uint64_t connection_window_max = 8UL * 1024 * 1024;
  Duration connection_queueing = std::chrono::microseconds(150);
  // What a stream may hold unread, while the pool is not used up; at least limits.stream_window, at
  // most kStreamBytesBound.
  std::size_t stream_window_max = 256UL * 1024;
  // Handlers of the peer's calls that may run at once, over all its connections, those of cancelled
  // calls and of lost connections included.
  std::size_t handlers_max = 4096;
  // Calls of ours that may wait or be unanswered; the peer's calls_max holds, too.
  std::size_t calls_max = 65'536;
  // Payloads that wait to be sent to the peer, in all: calls of ours are refused, responses become
  // failures. One alone may be larger.
  std::size_t unsent_bytes_max = 256UL * 1024 * 1024;
  // A stream whose both ends send and wait for each other may hold so much more, while the pool is
  // not used up; at most kStreamBytesBound.
  std::size_t stream_rescue_max = 16UL * 1024 * 1024;
  // … and fails when its program has not read for so long all the same.
  Duration stream_stall = std::chrono::seconds(60);
  // Of one stream: send() says "full" from here on.
  std::size_t stream_unsent_bytes = 256UL * 1024;
  Duration ping_interval = std::chrono::seconds(10);
  // Since the socket has taken a byte.
  Duration write_deadline = std::chrono::seconds(10);
};

}  // namespace trunkline::grid
