// SPDX-License-Identifier: Apache-2.0
//
// What it costs to make a payload of a small struct, the arguments of a lock, and a struct of the
// payload, in memory that is used again.
#pragma once

#include <optional>

namespace trunkline::bench {

struct CodecFigures {
  double pack_ns = 0;
  double unpack_ns = 0;
  double allocations = 0;  // of both, in steady state
};

// A GridCodec that a program might write for the struct.
[[nodiscard]] CodecFigures measure_own_codec();
// trunkline/grid_msgpack.h. Nothing: built without msgpack-cxx.
[[nodiscard]] std::optional<CodecFigures> measure_msgpack();
// msgpack-cxx's own functions, as its documentation shows them.
[[nodiscard]] std::optional<CodecFigures> measure_plain_msgpack();

}  // namespace trunkline::bench
