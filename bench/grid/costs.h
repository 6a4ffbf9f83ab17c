// SPDX-License-Identifier: Apache-2.0
//
// What idle streams and connections hold.
#pragma once

namespace trunkline::bench {

struct MemoryFigures {
  double stream_bytes = 0;      // live bytes of the heap, both ends together
  double connection_bytes = 0;  // the same
};

// One process has both ends. Streams are open, quiet, and their handlers wait for a message.
[[nodiscard]] MemoryFigures measure_memory();

}  // namespace trunkline::bench
