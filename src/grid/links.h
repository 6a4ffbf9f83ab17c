// SPDX-License-Identifier: Apache-2.0
//
// Which connection between two nodes counts (docs/grid-protocol.md, "Two connections at once,
// restarts"). Both nodes judge by themselves and come to the same answer, since they judge by the
// two names and by who dialled.
#pragma once

#include "grid/handshake.h"
#include "grid/hello.h"

#include <cstdint>
#include <string_view>

namespace trunkline::grid {

// Whether `self` should dial `peer`; the opposite of the same question asked there. Of many pairs
// about half say so.
[[nodiscard]] bool is_designated(std::string_view self, std::string_view peer);

// What is known of a connection that stands, or wants to.
struct Link {
  Instance instance{};  // of the peer
  Side side = Side::kDialler;
};

enum class LinkVerdict : std::uint8_t {
  kReplace,   // the new one counts; the old one has been lost
  kMoveOld,   // the new one counts; what is open on the old one is finished there
  kMoveNew,   // the old one counts; what the peer has begun on the new one is finished there
  kProbeOld,  // if the old one still answers the new one is refused, otherwise it counts
};

// A peer has a connection and brings up another one. As acceptor it is asked before Welcome, as
// dialler after it.
[[nodiscard]] LinkVerdict judge(const Link& old_one, const Link& new_one, bool is_designated);

}  // namespace trunkline::grid
