// SPDX-License-Identifier: Apache-2.0
#include "ws/frame.h"

#include <bit>
#include <cstring>

namespace trunkline::ws {

namespace {

constexpr std::uint8_t kFinBit = 0x80;
constexpr std::uint8_t kRsv1Bit = 0x40;
constexpr std::uint8_t kMaskBit = 0x80;

std::size_t write_header(char* out, Opcode opcode, std::uint64_t payload_bytes, Rsv1 rsv1,
                         std::uint8_t mask_bit) {
  const auto put = [out](std::size_t at, std::uint64_t byte) {
    out[at] = static_cast<char>(static_cast<std::uint8_t>(byte));
  };
  put(0, kFinBit | (rsv1 == Rsv1::kSet ? kRsv1Bit : 0U) | static_cast<std::uint8_t>(opcode));
  const std::size_t size = frame_header_size(payload_bytes);
  if (size == 2) {
    put(1, mask_bit | payload_bytes);
    return size;
  }
  put(1, mask_bit | (size == 4 ? 126U : 127U));
  for (std::size_t at = size; at-- > 2;) {
    put(at, payload_bytes & 0xFFU);
    payload_bytes >>= 8U;
  }
  return size;
}

}  // namespace

std::size_t write_frame_header(char* out, Opcode opcode, std::uint64_t payload_bytes, Rsv1 rsv1) {
  return write_header(out, opcode, payload_bytes, rsv1, 0);
}

std::string make_frame(Opcode opcode, std::string_view payload, Rsv1 rsv1) {
  std::string frame(frame_header_size(payload.size()), '\0');
  write_frame_header(frame.data(), opcode, payload.size(), rsv1);
  frame += payload;
  return frame;
}

std::string make_masked_frame(Opcode opcode, std::string_view payload, MaskingKey key, Rsv1 rsv1) {
  const std::size_t header = frame_header_size(payload.size());
  std::string frame(header, '\0');
  write_header(frame.data(), opcode, payload.size(), rsv1, kMaskBit);
  for (const std::uint8_t byte : key) {
    frame += static_cast<char>(byte);
  }
  frame += payload;
  apply_mask({frame.data() + header + key.size(), payload.size()}, key);
  return frame;
}

std::string close_payload(CloseCode code, std::string_view reason) {
  if (code == kCloseNoStatus) {
    return {};
  }
  std::size_t size = reason.size();
  if (size > kCloseReasonBytesMax) {
    size = kCloseReasonBytesMax;
    while (size > 0 && (static_cast<std::uint8_t>(reason[size]) & 0xC0U) == 0x80U) {
      --size;  // in the middle of a character
    }
  }
  std::string payload;
  payload += static_cast<char>(static_cast<std::uint8_t>(code >> 8U));
  payload += static_cast<char>(static_cast<std::uint8_t>(code & 0xFFU));
  payload += reason.substr(0, size);
  return payload;
}

std::optional<std::uint64_t> frame_size(std::string_view bytes) {
  if (bytes.size() < 2) {
    return std::nullopt;
  }
  const auto byte = [&](std::size_t at) {
    return std::uint64_t{static_cast<std::uint8_t>(bytes[at])};
  };
  const std::uint64_t length = byte(1) & 0x7FU;
  const std::size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  const std::size_t header = 2 + extended + ((byte(1) & kMaskBit) != 0 ? 4U : 0U);
  if (bytes.size() < header) {
    return std::nullopt;
  }
  std::uint64_t payload = extended == 0 ? length : 0;
  for (std::size_t at = 2; at < 2 + extended; ++at) {
    payload = (payload << 8U) | byte(at);
  }
  // A length that no frame may have must not come out as a small one.
  return payload > UINT64_MAX - header ? UINT64_MAX : header + payload;
}

void apply_mask(std::span<char> data, MaskingKey key, std::uint64_t phase) {
  std::array<std::uint8_t, 8> pattern{};
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    pattern[i] = key[(phase + i) & 3U];
  }
  const auto wide = std::bit_cast<std::uint64_t>(pattern);
  std::size_t at = 0;
  // Four words at a time, which the compiler makes two of its vectors of.
  for (; at + 32 <= data.size(); at += 32) {
    std::array<std::uint64_t, 4> words{};
    std::memcpy(words.data(), data.data() + at, sizeof words);
    for (std::uint64_t& word : words) {
      word ^= wide;
    }
    std::memcpy(data.data() + at, words.data(), sizeof words);
  }
  for (; at + 8 <= data.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data.data() + at, sizeof word);
    word ^= wide;
    std::memcpy(data.data() + at, &word, sizeof word);
  }
  for (; at < data.size(); ++at) {
    data[at] = static_cast<char>(static_cast<std::uint8_t>(data[at]) ^ pattern[at & 7U]);
  }
}

}  // namespace trunkline::ws
