// SPDX-License-Identifier: Apache-2.0
//
// Whom to close when there are too many. Both choices are made so that an attacker has to be
// useful, near and patient, from many networks, before honest peers suffer.
#pragma once

#include <trunkline/peer_types.h>

#include "core/time.h"
#include "peers/address.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trunkline::peers {

struct Candidate {
  PeerId id;
  NetKey group;
  bool is_discouraged = false;
  TimePoint since;  // of the connection
  PeerMerit merit;
};

// Makes room for one inbound connection. A discouraged one goes first, the youngest. Otherwise some
// are spared for merits that are hard to forge: an eighth each for the program's value, for useful
// bytes, for the shortest round trip, and for a group that `salt` happens to like; then half of the
// rest for their age. Of those left, the youngest of the most crowded group goes. Nothing when all
// are spared.
[[nodiscard]] std::optional<PeerId> choose_victim(std::vector<Candidate> candidates,
                                                  std::uint64_t salt);

// The `count` of least value: the discouraged first, then by the program's value, useful bytes, and
// the younger before the older.
[[nodiscard]] std::vector<PeerId> choose_trimmed(std::vector<Candidate> candidates,
                                                 std::size_t count);

}  // namespace trunkline::peers
