// SPDX-License-Identifier: Apache-2.0
//
// RFC 7692, sections 6 and 7.2: compressed messages as a reader gets them. The payloads are the
// RFC's examples, or were made by Python's zlib.
#include "ws/deflate.h"
#include "ws/reader_script.h"

#include <optional>
#include <string>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;

constexpr unsigned kRsv1Set = 0x40;
constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

const std::string kHello = bytes_of("f248cdc9c90700");
const std::string kHelloAgain = bytes_of("f200110000");  // refers to the first

class Rfc7692Framing : public RoleScript {
 protected:
  Rfc7692Framing() { agree(/*takeover=*/false); }

  FrameReader reader_of(Role role, std::size_t limit = 1 << 20) override {
    FrameReader reader = ReaderScript::reader_of(role, limit);
    if (deflate.has_value()) {
      reader.use_deflate(*deflate, scratch);
    }
    return reader;
  }

  // Only the peer's direction matters to a reader; the other one is the opposite.
  void agree(bool takeover, std::uint8_t window_bits = 15) {
    const bool from_client = GetParam() == Role::kServer;
    deflate = {.server_no_context_takeover = from_client == takeover,
               .client_no_context_takeover = from_client != takeover,
               .server_max_window_bits = from_client ? std::uint8_t{8} : window_bits,
               .client_max_window_bits = from_client ? window_bits : std::uint8_t{8}};
  }

  static std::string message(std::string_view payload, unsigned opcode = kText) {
    return to_reader(kFin | kRsv1Set | opcode, payload);
  }

  std::optional<DeflateParameters> deflate;
  DeflateScratch scratch{{}};
};

INSTANTIATE_TEST_SUITE_P(BothRoles, Rfc7692Framing, both_roles(), role_name);

TEST_P(Rfc7692Framing, Rsv1IsRefusedWhenNothingWasAgreed) {
  deflate.reset();
  expect_events(message(kHello), "error 1002");
  EXPECT_EQ(good_bytes(message(kHello), GetParam()), 0U);
}

TEST_P(Rfc7692Framing, Rsv1IsRefusedOnControlFrames) {
  for (const unsigned opcode : {8U, 9U, 10U}) {
    expect_events(to_reader(kFin | kRsv1Set | opcode, ""), "error 1002");
  }
}

TEST_P(Rfc7692Framing, TheOtherReservedBitsAreStillRefused) {
  for (const unsigned bits : {0x20U, 0x10U, 0x60U, 0x50U, 0x70U}) {
    expect_events(to_reader(kFin | bits | kText, kHello), "error 1002");
  }
}

TEST_P(Rfc7692Framing, ReservedOpcodesAreRefusedWithRsv1Too) {
  for (const unsigned opcode : {3U, 7U, 11U, 15U}) {
    expect_events(to_reader(kFin | kRsv1Set | opcode, ""), "error 1002");
  }
}

TEST_P(Rfc7692Framing, OneBlockInTwoFrames) {
  expect_events(
      to_reader(kRsv1Set | kText, bytes_of("f248cd")) + to_reader(kFin, bytes_of("c9c90700")),
      "text:Hello;");
}

TEST_P(Rfc7692Framing, SeveralBlocksWithBfinal) {
  const std::string final_hello = bytes_of("f348cdc9c90700");
  expect_events(message(final_hello + final_hello + "\0"s), "text:HelloHello;");
  expect_events(message(final_hello + bytes_of("000500faff776f726c6400")), "text:Helloworld;");
}

TEST_P(Rfc7692Framing, EveryByteInAFrameOfItsOwn) {
  std::string bytes = to_reader(kRsv1Set | kText, "");
  for (const char byte : kHello) {
    bytes += to_reader(0, {&byte, 1}) + to_reader(0, "") + to_reader(kFin | 9, "p");
  }
  std::string events;
  for (std::size_t i = 0; i < kHello.size(); ++i) {
    events += "ping:p;";
  }
  expect_events(bytes + to_reader(kFin, ""), events + "text:Hello;");
}

TEST_P(Rfc7692Framing, UncompressedMessagesDoNotTouchTheWindow) {
  agree(/*takeover=*/true);
  expect_events(
      message(kHello) + to_reader(kFin | kText, "between") + message("\0"s) + message(kHelloAgain),
      "text:Hello;text:between;text:;text:Hello;");
}

TEST_P(Rfc7692Framing, GarbageFailsBeforeTheMessageEnds) {
  const std::string bytes = to_reader(kRsv1Set | kText, "\xFF" + std::string(60, 'x'));
  EXPECT_EQ(good_bytes(bytes, GetParam()), short_header(GetParam()));
}

TEST_P(Rfc7692Framing, TextFailsAtItsFirstBadByteInsideAFragment) {
  // A block of ten bytes, the fourth of them bad.
  const std::string payload = bytes_of("000a00f5ff616263ff") + "defghi";
  const std::string bytes = to_reader(kRsv1Set | kText, payload);
  EXPECT_EQ(good_bytes(bytes, GetParam()), short_header(GetParam()) + 8);
}

TEST_P(Rfc7692Framing, WhatIsBadFirstIsReported) {
  // Stored: "ab", 0xFF, "c": the limit of two bytes comes first, that of three does not.
  const std::string payload = bytes_of("000400fbff6162ff6300");
  expect_events(message(payload), "error 1009", 2);
  expect_events(message(payload), "error 1007", 3);
  // A full message, then garbage, and one byte too many before it.
  const std::string garbage = bytes_of("000200fdff6162") + "\xFF";
  expect_events(message(garbage), "error 1007", 2);
  expect_events(message(garbage), "error 1009", 1);
}

TEST_P(Rfc7692Framing, BlocksWithoutContentHaveALimitToo) {
  // Empty blocks for ever: work for us, and never a byte.
  std::string empty_blocks;
  while (empty_blocks.size() < 1000) {
    empty_blocks += bytes_of("000000ffff");
  }
  std::string bytes = to_reader(kRsv1Set | kBinary, empty_blocks);
  for (int i = 0; i < 3; ++i) {
    bytes += to_reader(0, empty_blocks);
  }
  EXPECT_EQ(feed(bytes, {bytes.size()}, GetParam(), 100), "error 1009");
  EXPECT_EQ(feed(bytes + to_reader(kFin, "\0"s), {bytes.size() + short_header(GetParam()) + 1},
                 GetParam(), 2000),
            "binary:;");
}

TEST_P(Rfc7692Framing, NothingIsHeldAfterACloseInsideAMessage) {
  for (const bool takeover : {false, true}) {
    agree(takeover);
    FrameReader reader = reader_of(GetParam());
    Recorder recorder;
    const std::string bytes = to_reader(kRsv1Set | kText, kHello) + to_reader(kFin | 8, "");
    ASSERT_TRUE(read(reader, recorder, bytes).has_value());
    EXPECT_EQ(recorder.events, "close 1005:;");
    EXPECT_EQ(reader.buffered_bytes(), 0U);
  }
}

}  // namespace
}  // namespace trunkline::ws
