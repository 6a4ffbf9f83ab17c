// SPDX-License-Identifier: Apache-2.0
//
// What a typed argument costs to pack and unpack, and what idle streams and connections hold.
#pragma once

#include <cstdint>

namespace trunkline::bench {

struct CodecFigures {
  double pack_ns = 0;
  double unpack_ns = 0;
  double allocations = 0;  // of both, in steady state
};

[[nodiscard]] CodecFigures measure_codec();

struct MemoryFigures {
  double stream_bytes = 0;      // of the heap, both ends together
  double connection_bytes = 0;  // the same
};

// One process has both ends. Streams are open, quiet, and their handlers wait for a message.
[[nodiscard]] MemoryFigures measure_memory();

// Of this thread, by operator new.
[[nodiscard]] std::uint64_t allocations();

}  // namespace trunkline::bench
