// SPDX-License-Identifier: Apache-2.0
//
// What operator new has given. It is replaced in the whole program.
#pragma once

#include <cstdint>

namespace trunkline::bench {

// By this thread, so far.
[[nodiscard]] std::uint64_t allocations();

// By all threads, what has not been given back; with malloc's own eight bytes for each. What malloc
// keeps for later is not in it.
[[nodiscard]] std::int64_t live_bytes();

}  // namespace trunkline::bench
