// SPDX-License-Identifier: Apache-2.0
//
// Frame headers (RFC 6455, section 5.2) as bytes.
#pragma once

#include "ws/close_code.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::ws {

enum class Opcode : std::uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xA,
};

// The header's bit RSV1: set on the first frame of a message that permessage-deflate compressed, on
// no other (RFC 7692, section 6).
enum class Rsv1 : std::uint8_t { kClear, kSet };

enum class Role : std::uint8_t { kServer, kClient };

using MaskingKey = std::array<std::uint8_t, 4>;

// The longest header: 2 + 8 bytes of length + 4 of masking key.
inline constexpr std::size_t kFrameHeaderBytesMax = 14;

// Bytes of the header of an unmasked frame with so large a payload: 2, 4 or 10.
[[nodiscard]] constexpr std::size_t frame_header_size(std::uint64_t payload_bytes) {
  return payload_bytes < 126 ? 2 : payload_bytes <= 0xFFFF ? 4 : 10;
}

// Writes the header of a final, unmasked frame at `out`, which must have
// frame_header_size(payload_bytes) bytes of room. Returns the number written.
std::size_t write_frame_header(char* out, Opcode opcode, std::uint64_t payload_bytes,
                               Rsv1 rsv1 = Rsv1::kClear);

// A whole unmasked frame (server role). With RSV1 `payload` is the compressed one.
[[nodiscard]] std::string make_frame(Opcode opcode, std::string_view payload,
                                     Rsv1 rsv1 = Rsv1::kClear);

// A whole masked frame (client role). With RSV1 `payload` is the compressed one.
[[nodiscard]] std::string make_masked_frame(Opcode opcode, std::string_view payload, MaskingKey key,
                                            Rsv1 rsv1 = Rsv1::kClear);

// The payload of a Close frame; the reason is cut to kCloseReasonBytesMax at a character's border.
// kCloseNoStatus gives an empty payload.
[[nodiscard]] std::string close_payload(CloseCode code, std::string_view reason);

// The size of the frame that begins here, header and payload, by what its header says; nothing
// while the header is incomplete. Checks nothing: that is the FrameReader's.
[[nodiscard]] std::optional<std::uint64_t> frame_size(std::string_view bytes);

// Applies the masking key in place (section 5.3); `phase` is the index of data[0] in the masked
// payload, so that a payload may arrive in pieces.
void apply_mask(std::span<char> data, MaskingKey key, std::uint64_t phase = 0);

}  // namespace trunkline::ws
