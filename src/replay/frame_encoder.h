// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::replay {

// A publication as a wire frame.
struct EncodedFrame {
  std::string bytes;             // below 4 GiB
  std::uint32_t body_begin = 0;  // the publication alone
  std::uint32_t body_bytes = 0;
};

// Writes one publication as a wire frame, once its offset is known. The log does not know the
// client protocol; session/ implements this.
class FrameEncoder {
 public:
  FrameEncoder() = default;
  FrameEncoder(const FrameEncoder&) = delete;
  FrameEncoder& operator=(const FrameEncoder&) = delete;
  virtual ~FrameEncoder() = default;

  [[nodiscard]] virtual EncodedFrame encode(std::string_view epoch, Offset offset) const = 0;
};

}  // namespace trunkline::replay
