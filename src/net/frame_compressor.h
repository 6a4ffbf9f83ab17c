// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hub/frame_compressor.h"
#include "ws/deflate.h"

#include <string>
#include <string_view>

namespace trunkline::net {

// Thread: owning shard.
class FrameCompressor final : public hub::FrameCompressor {
 public:
  // The scratch must outlive it.
  explicit FrameCompressor(ws::DeflateScratch& scratch) : scratch_(scratch) {}

  [[nodiscard]] std::string compress(std::string_view frame) override {
    const auto length = static_cast<unsigned char>(frame[1]);
    const std::size_t header = length < 126 ? 2 : length == 126 ? 4 : 10;
    return ws::make_compressed_frame(ws::Opcode::kText, frame.substr(header), scratch_)
        .value_or(std::string(frame));
  }

 private:
  ws::DeflateScratch& scratch_;
};

}  // namespace trunkline::net
