// SPDX-License-Identifier: Apache-2.0
//
// Frames from anywhere: the reader must neither crash nor hand out what breaks its contract, and it
// must not matter how the bytes were cut into reads. The first byte chooses role and limit, the
// second how the bytes are cut.
#include "event_recorder.h"
#include "ws/frame_reader.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using trunkline::fuzz::EventRecorder;
using trunkline::fuzz::require;
namespace ws = trunkline::ws;

struct Outcome {
  std::string events;
  int error = 0;
};

Outcome read(ws::Role role, std::size_t limit, std::span<const std::uint8_t> bytes,
             std::size_t piece) {
  ws::FrameReader reader(role, {.message_bytes_max = limit});
  EventRecorder recorder(limit);
  Outcome outcome;
  std::size_t received = 0;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(piece, bytes.size()));
    bytes = bytes.subspan(part.size());
    // A buffer of just this piece and its padding, so that an overrun is seen: a vector that grew
    // would have room to spare.
    std::vector<char> buffer(part.size() + ws::kMessagePadding);
    std::ranges::copy(part, buffer.begin());
    received += part.size();
    const auto result = reader.read({buffer.data(), part.size()}, recorder);
    if (!result.has_value()) {
      outcome.error = static_cast<int>(result.error().code);
      break;
    }
    // What was received bounds what is held, not what was claimed. Beside a message there may be a
    // control frame and an unfinished header.
    require(reader.buffered_bytes() <= received);
    require(reader.buffered_bytes() <= limit + 125 + ws::kFrameHeaderBytesMax);
    require(!recorder.closed || reader.buffered_bytes() == 0);
  }
  outcome.events = std::move(recorder.events);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const ws::Role role = (data[0] & 1U) != 0 ? ws::Role::kServer : ws::Role::kClient;
  const std::size_t limit = (data[0] & 2U) != 0 ? 64 : 4096;
  const std::size_t piece = 1U + data[1] % 64U;
  const std::span<const std::uint8_t> bytes(data + 2, size - 2);
  const Outcome whole = read(role, limit, bytes, bytes.size() + 1);
  const Outcome pieces = read(role, limit, bytes, piece);
  require(whole.events == pieces.events && whole.error == pieces.error);
  return 0;
}
