// SPDX-License-Identifier: Apache-2.0
#include "ws/frame.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <string_view>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;

std::string header(Opcode opcode, std::uint64_t payload_bytes) {
  std::string bytes(kFrameHeaderBytesMax, '#');
  bytes.resize(write_frame_header(bytes.data(), opcode, payload_bytes));
  return bytes;
}

TEST(FrameHeader, EncodesLengthsInTheFewestBytes) {
  EXPECT_EQ(header(Opcode::kText, 0), "\x81\x00"s);
  EXPECT_EQ(header(Opcode::kText, 125), "\x81\x7D"s);
  EXPECT_EQ(header(Opcode::kText, 126), "\x81\x7E\x00\x7E"s);
  EXPECT_EQ(header(Opcode::kText, 0xFFFF), "\x81\x7E\xFF\xFF"s);
  EXPECT_EQ(header(Opcode::kText, 0x10000), "\x81\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s);
  EXPECT_EQ(header(Opcode::kText, 0x0102030405060708), "\x81\x7F\x01\x02\x03\x04\x05\x06\x07\x08"s);
}

TEST(FrameHeader, SaysItsSizeBeforeItIsWritten) {
  for (const std::uint64_t bytes : {0UL, 125UL, 126UL, 0xFFFFUL, 0x10000UL, 1UL << 40U}) {
    EXPECT_EQ(header(Opcode::kBinary, bytes).size(), frame_header_size(bytes)) << bytes;
  }
}

TEST(FrameHeader, WritesNoByteBeyondItsSize) {
  for (const std::uint64_t payload_bytes : {0UL, 126UL, 0x10000UL}) {
    std::string bytes(kFrameHeaderBytesMax, '#');
    const std::size_t size = write_frame_header(bytes.data(), Opcode::kText, payload_bytes);
    EXPECT_EQ(bytes.find_first_not_of('#', size), std::string::npos) << payload_bytes;
  }
}

TEST(FrameHeader, SaysHowLongItsFrameIsAsSoonAsItIsThere) {
  for (const std::size_t payload_bytes : {0UL, 125UL, 126UL, 0xFFFFUL, 0x10000UL}) {
    const std::string frame = make_frame(Opcode::kBinary, std::string(payload_bytes, 'x'));
    const std::string masked =
        make_masked_frame(Opcode::kBinary, std::string(payload_bytes, 'x'), {1, 2, 3, 4});
    const std::size_t header_bytes = frame_header_size(payload_bytes);
    for (std::size_t bytes = 0; bytes < header_bytes + 4; ++bytes) {
      const std::string_view begun = std::string_view(frame).substr(0, bytes);
      EXPECT_EQ(frame_size(begun).value_or(0), bytes < header_bytes ? 0 : frame.size());
      const std::string_view masked_begun = std::string_view(masked).substr(0, bytes);
      EXPECT_EQ(frame_size(masked_begun).value_or(0), 0U);
    }
    EXPECT_EQ(frame_size(masked), masked.size());
  }
}

TEST(FrameHeader, ALengthThatNoFrameMayHaveDoesNotComeOutAsASmallOne) {
  for (const char second : {'\x7F', '\xFF'}) {
    for (int last = 0; last < 256; ++last) {
      const std::string bytes =
          std::string{'\x82', second} + std::string(7, '\xFF') + static_cast<char>(last) + "mask";
      EXPECT_GE(frame_size(bytes).value_or(0), UINT64_MAX - 255);
    }
  }
}

TEST(FrameHeader, CarriesEachOpcodeWithTheFinalBit) {
  EXPECT_EQ(header(Opcode::kContinuation, 0), "\x80\x00"s);
  EXPECT_EQ(header(Opcode::kBinary, 0), "\x82\x00"s);
  EXPECT_EQ(header(Opcode::kClose, 0), "\x88\x00"s);
  EXPECT_EQ(header(Opcode::kPing, 0), "\x89\x00"s);
  EXPECT_EQ(header(Opcode::kPong, 0), "\x8A\x00"s);
}

// The examples of RFC 6455, section 5.7.
TEST(MakeFrame, MakesTheUnmaskedExampleOfTheRfc) {
  EXPECT_EQ(make_frame(Opcode::kText, "Hello"), "\x81\x05Hello");
}

TEST(MakeFrame, MakesTheMaskedExampleOfTheRfc) {
  EXPECT_EQ(make_masked_frame(Opcode::kText, "Hello", {0x37, 0xFA, 0x21, 0x3D}),
            "\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58");
}

TEST(MakeFrame, PutsTheMaskingKeyBehindALongerLength) {
  const std::string frame =
      make_masked_frame(Opcode::kBinary, std::string(300, '\0'), {1, 2, 3, 4});
  EXPECT_EQ(frame.substr(0, 12), "\x82\xFE\x01\x2C\x01\x02\x03\x04\x01\x02\x03\x04");
  EXPECT_EQ(frame.size(), 4 + 4 + 300U);
}

TEST(ClosePayload, PutsTheCodeBeforeTheReason) {
  EXPECT_EQ(close_payload(kCloseNormal, "bye"),
            "\x03\xE8"
            "bye");
}

TEST(ClosePayload, IsEmptyWithoutAStatus) {
  EXPECT_EQ(close_payload(kCloseNoStatus, "not sent"), "");
}

TEST(ClosePayload, KeepsAReasonThatJustFits) {
  const std::string reason = std::string(121, 'x') + "\xC3\xA9";
  EXPECT_EQ(close_payload(3000, reason).substr(2), reason);
}

TEST(ClosePayload, CutsAReasonAtACharactersBorder) {
  for (const std::string_view character : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    for (std::size_t before = kCloseReasonBytesMax - character.size() + 1;
         before <= kCloseReasonBytesMax; ++before) {
      const std::string reason = std::string(before, 'x') + std::string(character);
      EXPECT_EQ(close_payload(3000, reason).substr(2), std::string(before, 'x')) << before;
    }
  }
}

// The slow and obvious way.
std::string masked_byte_by_byte(std::string data, MaskingKey key, std::uint64_t phase) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(static_cast<unsigned char>(data[i]) ^ key[(phase + i) % 4]);
  }
  return data;
}

std::string varied_bytes(std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) {
    bytes += static_cast<char>(static_cast<unsigned char>(i * 37 + 11));
  }
  return bytes;
}

constexpr MaskingKey kKey = {0xA1, 0x0B, 0xC2, 0x7D};

TEST(ApplyMask, EqualsTheNaiveLoopForEveryPhaseAndSize) {
  constexpr std::uint64_t kFar = std::numeric_limits<std::uint64_t>::max() - 8;
  for (const std::uint64_t base : {std::uint64_t{0}, std::uint64_t{1} << 32U, kFar}) {
    for (std::uint64_t phase = base; phase < base + 8; ++phase) {
      for (std::size_t size = 0; size <= 80; ++size) {
        std::string data = varied_bytes(size);
        apply_mask({data.data(), data.size()}, kKey, phase);
        ASSERT_EQ(data, masked_byte_by_byte(varied_bytes(size), kKey, phase))
            << phase << " " << size;
      }
    }
  }
}

TEST(ApplyMask, LeavesTheBytesAroundAsTheyAreAtEveryAlignment) {
  for (std::size_t start = 0; start < 16; ++start) {
    for (std::size_t size = 0; size <= 40; ++size) {
      std::string data = varied_bytes(64);
      std::string expected = data;
      expected.replace(start, size, masked_byte_by_byte(data.substr(start, size), kKey, 0));
      apply_mask({data.data() + start, size}, kKey);
      ASSERT_EQ(data, expected) << start << " " << size;
    }
  }
}

TEST(ApplyMask, MasksAPayloadInPiecesLikeAWholeOne) {
  const std::string whole = masked_byte_by_byte(varied_bytes(50), kKey, 0);
  for (std::size_t cut = 0; cut <= 50; ++cut) {
    std::string data = varied_bytes(50);
    apply_mask({data.data(), cut}, kKey);
    apply_mask({data.data() + cut, data.size() - cut}, kKey, cut);
    ASSERT_EQ(data, whole) << cut;
  }
}

}  // namespace
}  // namespace trunkline::ws
