// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace trunkline::hub {

// Makes of a plain frame the one for connections with permessage-deflate (RFC 7692) that keep no
// context: it refers to no other message, so that one serves them all. The hub moves bytes and
// knows nothing of it; net/ implements this. Thread: owning shard.
class FrameCompressor {
 public:
  FrameCompressor() = default;
  FrameCompressor(const FrameCompressor&) = delete;
  FrameCompressor& operator=(const FrameCompressor&) = delete;
  virtual ~FrameCompressor() = default;

  // A whole unmasked frame in, one out; the same when compression does not make it smaller.
  [[nodiscard]] virtual std::string compress(std::string_view frame) = 0;
};

}  // namespace trunkline::hub
