// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, sections 5.1 to 5.3 and 5.7: masking by role, reserved bits and opcodes, lengths.
#include "ws/reader_script.h"

#include <string>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;
using ::testing::Combine;
using ::testing::Values;

// --- Section 5.1: who masks
// -----------------------------------------------------------------------

class Rfc6455Masking : public RoleScriptWith<unsigned> {};

INSTANTIATE_TEST_SUITE_P(EveryOpcode, Rfc6455Masking,
                         Combine(both_roles(), Values(0U, 1U, 2U, 8U, 9U, 10U)));

TEST_P(Rfc6455Masking, WrongForTheRoleFailsAtTheMaskBit) {
  for (const char* payload : {"", "hi"}) {
    const std::string bytes = frame(kFin | detail(), payload, role() == Role::kClient);
    expect_events(bytes, "error 1002");
    EXPECT_EQ(good_bytes(bytes, role()), 1U);
  }
}

// --- Section 5.2: reserved bits
// -------------------------------------------------------------------

class Rfc6455ReservedBits : public RoleScriptWith<std::tuple<unsigned, unsigned>> {};

INSTANTIATE_TEST_SUITE_P(EveryOpcode, Rfc6455ReservedBits,
                         Combine(both_roles(),
                                 Combine(Values(0x10U, 0x20U, 0x30U, 0x40U, 0x50U, 0x60U, 0x70U),
                                         Values(1U, 2U, 8U, 9U, 10U))));

TEST_P(Rfc6455ReservedBits, FailAtTheFirstByte) {
  const auto& [bits, opcode] = detail();
  const std::string bytes = to_reader(kFin | bits | opcode, "");
  expect_events(to_reader(kFin | 1U, "before") + bytes, "text:before;error 1002");
  EXPECT_EQ(good_bytes(bytes, role()), 0U);
}

TEST_P(Rfc6455ReservedBits, FailOnContinuations) {
  const auto& [bits, opcode] = detail();
  if (opcode <= 2) {
    expect_events(to_reader(opcode, "a") + to_reader(kFin | bits, "b"), "error 1002");
  }
}

// --- Section 5.2: reserved opcodes
// ----------------------------------------------------------------

class Rfc6455ReservedOpcodes : public RoleScriptWith<unsigned> {};

INSTANTIATE_TEST_SUITE_P(EachOfThem, Rfc6455ReservedOpcodes,
                         Combine(both_roles(),
                                 Values(3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U)));

TEST_P(Rfc6455ReservedOpcodes, FailAtTheFirstByte) {
  for (const unsigned fin : {0U, kFin}) {
    for (const char* payload : {"", "x"}) {
      const std::string bytes = to_reader(fin | detail(), payload);
      expect_events(bytes, "error 1002");
      EXPECT_EQ(good_bytes(bytes, role()), 0U);
    }
  }
}

TEST_P(Rfc6455ReservedOpcodes, FailInsideAFragmentedMessage) {
  expect_events(to_reader(1, "a") + to_reader(kFin | detail(), ""), "error 1002");
}

// --- Section 5.2: lengths
// -------------------------------------------------------------------------

class Rfc6455Length : public RoleScriptWith<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(AroundEachEncoding, Rfc6455Length,
                         Combine(both_roles(),
                                 Values(0UL, 1UL, 124UL, 125UL, 126UL, 127UL, 128UL, 255UL, 256UL,
                                        65'534UL, 65'535UL, 65'536UL, 65'537UL, 131'072UL)));

TEST_P(Rfc6455Length, IsReadHoweverTheBytesAreCut) {
  std::string payload(detail(), 'x');
  for (std::size_t i = 0; i < payload.size(); ++i) {
    payload[i] = static_cast<char>('a' + i % 26);
  }
  const std::string bytes = to_reader(kFin | 2U, payload) + to_reader(kFin | 1U, "next");
  const std::string events = "binary:" + payload + ";text:next;";
  std::vector<std::size_t> each;
  for (std::size_t i = 1; i <= bytes.size(); ++i) {
    each.push_back(i);
  }
  EXPECT_EQ(feed(bytes, {bytes.size()}, role(), 1 << 20), events) << "whole";
  EXPECT_EQ(feed(bytes, each, role(), 1 << 20), events) << "byte by byte";
  for (std::size_t cut = 1; cut <= kFrameHeaderBytesMax + 2 && cut < bytes.size(); ++cut) {
    EXPECT_EQ(feed(bytes, {cut, bytes.size()}, role(), 1 << 20), events) << cut;
    EXPECT_EQ(feed(bytes, {bytes.size() - cut, bytes.size()}, role(), 1 << 20), events) << cut;
  }
}

struct WrittenLength {
  unsigned octets;  // 2 or 8
  std::uint64_t value;
};

void PrintTo(const WrittenLength& length, std::ostream* out) {
  *out << length.value << " in " << length.octets;
}

// A header with a length in so many octets, and the masking key that the role asks for.
std::string header_with(Role reader, unsigned first, WrittenLength length) {
  const unsigned mask = reader == Role::kServer ? 0x80U : 0U;
  std::string bytes = {static_cast<char>(first),
                       static_cast<char>(mask | (length.octets == 2 ? 126U : 127U))};
  for (unsigned i = length.octets; i-- > 0;) {
    bytes += static_cast<char>(length.value >> (8 * i) & 0xFFU);
  }
  return bytes + std::string(reader == Role::kServer ? 4 : 0, '\0');
}

class Rfc6455BadLength : public RoleScriptWith<WrittenLength> {};

INSTANTIATE_TEST_SUITE_P(NotMinimal, Rfc6455BadLength,
                         Combine(both_roles(), Values(WrittenLength{2, 0}, WrittenLength{2, 1},
                                                      WrittenLength{2, 125}, WrittenLength{8, 0},
                                                      WrittenLength{8, 125}, WrittenLength{8, 126},
                                                      WrittenLength{8, 0xFFFF})));

INSTANTIATE_TEST_SUITE_P(TopBit, Rfc6455BadLength,
                         Combine(both_roles(), Values(WrittenLength{8, 0x8000'0000'0000'0000},
                                                      WrittenLength{8, 0x8000'0000'0000'0001},
                                                      WrittenLength{8, 0x8000'0000'0001'0000},
                                                      WrittenLength{8, 0xFFFF'FFFF'FFFF'FFFF})));

TEST_P(Rfc6455BadLength, FailsBeforeAnyPayload) {
  for (const unsigned first : {kFin | 1U, kFin | 2U, 1U, 2U}) {
    expect_events(header_with(role(), first, detail()), "error 1002");
  }
  expect_events(to_reader(1, "a") + header_with(role(), kFin, detail()), "error 1002");
}

// --- Section 5.3: unmasking
// -----------------------------------------------------------------------

class Rfc6455Unmasking : public ReaderScript, public ::testing::WithParamInterface<MaskingKey> {};

INSTANTIATE_TEST_SUITE_P(Keys, Rfc6455Unmasking,
                         Values(MaskingKey{0, 0, 0, 0}, MaskingKey{0xFF, 0xFF, 0xFF, 0xFF},
                                MaskingKey{1, 2, 3, 4}, MaskingKey{0x80, 0, 0, 0x7F},
                                MaskingKey{0, 0, 0, 1}));

TEST_P(Rfc6455Unmasking, GivesThePayloadHoweverItIsCut) {
  std::string payload;
  std::string masked;
  for (std::size_t i = 0; i < 100; ++i) {
    payload += static_cast<char>(i * 91 & 0xFFU);
    masked += static_cast<char>((i * 91 & 0xFFU) ^ GetParam()[i % 4]);
  }
  std::string header = "\x82\xE4";
  for (const std::uint8_t byte : GetParam()) {
    header += static_cast<char>(byte);
  }
  expect(header + masked, "binary:" + payload + ";");
}

// The key starts anew with each frame, also with each fragment.
TEST_P(Rfc6455Unmasking, StartsWithTheFirstByteOfEachFragment) {
  std::string bytes;
  for (int i = 0; i < 6; ++i) {
    const std::string payload = std::string("abcdefg").substr(0, static_cast<std::size_t>(i) + 1);
    bytes += static_cast<char>(i == 0 ? 2 : i == 5 ? 0x80 : 0);
    bytes += static_cast<char>(0x80U | payload.size());
    for (const std::uint8_t byte : GetParam()) {
      bytes += static_cast<char>(byte);
    }
    for (std::size_t at = 0; at < payload.size(); ++at) {
      bytes += static_cast<char>(static_cast<unsigned char>(payload[at]) ^ GetParam()[at % 4]);
    }
  }
  expect(bytes, "binary:aababcabcdabcdeabcdef;");
}

// --- Section 5.7: examples
// ------------------------------------------------------------------------

class Rfc6455Example : public ReaderScript {};

TEST_F(Rfc6455Example, SingleUnmaskedText) {
  expect("\x81\x05Hello", "text:Hello;", Role::kClient);
}

TEST_F(Rfc6455Example, SingleMaskedText) {
  expect("\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58", "text:Hello;");
}

TEST_F(Rfc6455Example, FragmentedUnmaskedText) {
  expect("\x01\x03Hel\x80\x02lo", "text:Hello;", Role::kClient);
}

TEST_F(Rfc6455Example, PingAndMaskedPong) {
  expect("\x89\x05Hello", "ping:Hello;", Role::kClient);
  expect("\x8A\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58", "pong:Hello;");
}

TEST_F(Rfc6455Example, LongerBinaries) {
  const std::string small(256, 'b');
  EXPECT_EQ(feed("\x82\x7E\x01\x00"s + small, {260}, Role::kClient, 1 << 20),
            "binary:" + small + ";");
  const std::string large(65'536, 'B');
  EXPECT_EQ(
      feed("\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s + large, {65'546}, Role::kClient, 1 << 20),
      "binary:" + large + ";");
}

}  // namespace
}  // namespace trunkline::ws
