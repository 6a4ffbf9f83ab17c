// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trunkline::net {

// How a WebSocket's connection came to its end.
enum class Ending : std::uint8_t {
  kClosed,        // by the close handshake, whoever began it
  kLost,          // the peer or the network ended it without one
  kWriteTimeout,  // its oldest byte waited for the socket too long
  kCloseTimeout,  // the peer did not answer our Close
  kShutdown,      // the deadline of the server's stop
};

// As metrics call them.
inline constexpr std::array<std::string_view, 5> kEndingNames = {"closed", "lost", "write_timeout",
                                                                 "close_timeout", "shutdown"};

// One counter each, by the enumerator's value.
using EndingCounts = std::array<std::uint64_t, kEndingNames.size()>;

}  // namespace trunkline::net
