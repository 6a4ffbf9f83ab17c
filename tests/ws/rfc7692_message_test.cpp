// SPDX-License-Identifier: Apache-2.0
#include "ws/deflate_fixture.h"

#include <array>
#include <string>
#include <string_view>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;

constexpr unsigned kText = 0x1;
constexpr unsigned kBinary = 0x2;
constexpr unsigned kFin = 0x80;
constexpr unsigned kRsv1 = 0x40;
constexpr DeflateParameters kNoContext{.server_no_context_takeover = true,
                                       .client_no_context_takeover = true};

// --- the examples of RFC 7692, section 7.2.3 ---

const std::string kHello = "\xF2\x48\xCD\xC9\xC9\x07\x00"s;

TEST(Rfc7692Message, ReadsOneCompressedMessage) {
  expect_events("\xC1\x07"s + kHello, "text:Hello;");
}

TEST(Rfc7692Message, ReadsAMessageInFragments) {
  expect_events("\x41\x03\xF2\x48\xCD\x80\x04\xC9\xC9\x07\x00"s, "text:Hello;");
}

TEST(Rfc7692Message, ReadsAMessageThatRefersToAnEarlierOne) {
  expect_events("\xC1\x07"s + kHello + "\xC1\x05\xF2\x00\x11\x00\x00"s, "text:Hello;text:Hello;");
}

TEST(Rfc7692Message, ReadsABlockWithoutCompression) {
  expect_events("\xC1\x0B\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"s, "text:Hello;");
}

TEST(Rfc7692Message, ReadsABlockWithBfinal) {
  expect_events("\xC1\x08\xF3\x48\xCD\xC9\xC9\x07\x00\x00"s, "text:Hello;");
}

TEST(Rfc7692Message, ReadsTwoBlocks) {
  expect_events("\xC1\x0D\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"s, "text:Hello;");
}

TEST(Rfc7692Message, ReadsAnEmptyMessage) {
  expect_events("\xC1\x01\x00"s, "text:;");
  expect_events("\xC2\x02\x02\x00"s, "binary:;");  // a block of fixed codes
}

// --- what others send ---

// zlib gives nothing for a second flush, so that whoever strips the tail sends no byte
// (python3: two flushes of one compressobj).
TEST(Rfc7692Message, TakesNoPayloadAtAllForAnEmptyMessage) {
  expect_events(raw_frame(kFin | kRsv1 | kText, ""), "text:;");
  expect_events(raw_frame(kRsv1 | kText, "") + raw_frame(0, "") + raw_frame(kFin, ""), "text:;");
}

// compressobj(6, DEFLATED, -15) flushed with Z_FINISH: the stream ends where the message does.
TEST(Rfc7692Message, TakesAMessageThatEndsWithBfinal) {
  expect_events("\xC1\x07\xF3\x48\xCD\xC9\xC9\x07\x00"s + "\xC1\x05\xF2\x00\x11\x00\x00"s,
                "text:Hello;text:Hello;");
}

TEST(Rfc7692Message, KeepsTheWindowBehindABlockWithBfinal) {
  const std::string final_hello = "\xF3\x48\xCD\xC9\xC9\x07\x00"s;
  expect_events("\xC1\x08"s + final_hello + "\x00"s + "\xC1\x05\xF2\x00\x11\x00\x00"s,
                "text:Hello;text:Hello;");
  // Within one message: the second block refers to the first.
  expect_events("\xC1\x0C"s + final_hello + "\xF2\x00\x11\x00\x00"s, "text:HelloHello;",
                Role::kClient, kNoContext);
}

const std::string kPrices = R"({"channel":"prices","data":{"bid":1.25,"ask":1.26}})";

// python3: c = zlib.compressobj(level, 8, -bits, 8, strategy);
//          (c.compress(message) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]
const std::array kPricesByPython = {
    // 0, 15, default: stored
    "\x00\x33\x00\xCC\xFF\x7B\x22\x63\x68\x61\x6E\x6E\x65\x6C\x22\x3A\x22\x70\x72\x69\x63\x65\x73\x22\x2C\x22\x64\x61\x74\x61\x22\x3A\x7B\x22\x62\x69\x64\x22\x3A\x31\x2E\x32\x35\x2C\x22\x61\x73\x6B\x22\x3A\x31\x2E\x32\x36\x7D\x7D\x00"s,
    // 6, 15, default
    "\xAA\x56\x4A\xCE\x48\xCC\xCB\x4B\xCD\x51\xB2\x52\x2A\x28\xCA\x4C\x4E\x2D\x56\xD2\x51\x4A\x49\x2C\x49\x54\xB2\xAA\x56\x4A\xCA\x4C\x51\xB2\x32\xD4\x33\x32\xD5\x51\x4A\x2C\xCE\x06\x33\xCD\x6A\x6B\x01\x00"s,
    // 6, 15, Z_HUFFMAN_ONLY
    "\xAA\x56\x4A\xCE\x48\xCC\xCB\x4B\xCD\x51\xB2\x52\x2A\x28\xCA\x4C\x4E\x2D\x56\xD2\x51\x4A\x49\x2C\x49\x54\xB2\xAA\x56\x4A\xCA\x4C\x51\xB2\x32\xD4\x33\x32\xD5\x51\x4A\x2C\xCE\x56\xB2\x32\xD4\x33\x32\xAB\xAD\x05\x00"s,
    // Z_FULL_FLUSH after 10 bytes, Z_PARTIAL_FLUSH after 20: several blocks
    "\xAA\x56\x4A\xCE\x48\xCC\xCB\x4B\xCD\x51\x02\x00\x00\x00\xFF\xFF\xB2\x52\x2A\x28\xCA\x4C\x4E\x2D\x56\xD2\x01\x08\x20\xA5\x94\xC4\x92\x44\x25\xAB\x6A\xA5\xA4\xCC\x14\x25\x2B\x43\x3D\x23\x53\x1D\xA5\xC4\xE2\x6C\x30\xD3\xAC\xB6\x16\x00"s,
};

TEST(Rfc7692Message, ReadsWhatPythonCompressed) {
  for (const std::string& payload : kPricesByPython) {
    expect_events(make_frame(Opcode::kText, payload, Rsv1::kSet), "text:" + kPrices + ";");
    expect_events(make_masked_frame(Opcode::kBinary, payload, {9, 8, 7, 6}, Rsv1::kSet),
                  "binary:" + kPrices + ";", Role::kServer, kNoContext);
  }
}

TEST(Rfc7692Message, ReadsEachSplitIntoTwoFragments) {
  for (const std::string& payload : kPricesByPython) {
    for (std::size_t cut = 0; cut <= payload.size(); ++cut) {
      DeflateReader side;
      ASSERT_TRUE(side.read(raw_frame(kRsv1 | kText, payload.substr(0, cut)) +
                            raw_frame(kFin | 9, "p") + raw_frame(kFin, payload.substr(cut))));
      ASSERT_EQ(side.recorder.events, "ping:p;text:" + kPrices + ";") << cut;
    }
  }
}

// The second compress and flush of the same compressobj.
TEST(Rfc7692Message, ReadsPythonsContextTakeover) {
  const std::string first = make_frame(Opcode::kText, kPricesByPython[1], Rsv1::kSet);
  const std::string second = make_frame(Opcode::kText, "\xAA\x26\x5D\x0B\x00"s, Rsv1::kSet);
  const std::string plain = make_frame(Opcode::kText, "plain");
  expect_events(first + plain + second, "text:" + kPrices + ";text:plain;text:" + kPrices + ";");
}

// The same bytes without context: the distance reaches behind the message's beginning.
TEST(Rfc7692Message, RefusesAReferenceToAnEarlierMessageWithoutContextTakeover) {
  expect_events("\xC1\x07"s + kHello + "\xC1\x05\xF2\x00\x11\x00\x00"s, "text:Hello;error 1007",
                Role::kClient, kNoContext);
  expect_events("\xC1\x05\xF2\x00\x11\x00\x00"s, "error 1007");
}

TEST(Rfc7692Message, SharesNothingBetweenTheConnectionsOfAScratch) {
  DeflateScratch scratch({});
  EventRecorder recorder;
  FrameReader first(Role::kClient, {});
  FrameReader second(Role::kClient, {});
  first.use_deflate(kNoContext, scratch);
  second.use_deflate(kNoContext, scratch);
  const auto read = [&recorder](FrameReader& reader, std::string bytes) {
    const std::size_t size = bytes.size();
    bytes.append(kMessagePadding, '\0');
    return reader.read({bytes.data(), size}, recorder).has_value();
  };
  // Both are in the middle of a message at once, and then one message whole.
  const std::string half = raw_frame(kRsv1 | kText, kHello.substr(0, 3));
  const std::string rest = raw_frame(kFin, kHello.substr(3));
  EXPECT_TRUE(read(first, half) && read(second, half) && read(first, rest) && read(second, rest));
  EXPECT_TRUE(read(first, "\xC1\x07"s + kHello));
  EXPECT_EQ(recorder.events, "text:Hello;text:Hello;text:Hello;");
  EXPECT_FALSE(read(second, "\xC1\x05\xF2\x00\x11\x00\x00"s));
}

// --- RSV1 ---

TEST(Rfc7692Reader, RefusesRsv1OnContinuationAndControlFrames) {
  expect_events(raw_frame(kRsv1 | kText, kHello) + raw_frame(kFin | kRsv1, ""), "error 1002");
  expect_events(raw_frame(kText, "a") + raw_frame(kFin | kRsv1, "b"), "error 1002");
  for (const unsigned opcode : {0U, 8U, 9U, 10U}) {
    expect_events(raw_frame(kFin | kRsv1 | opcode, ""), "error 1002");
  }
}

TEST(Rfc7692Reader, RefusesTheOtherReservedBits) {
  for (const unsigned bits : {0x10U, 0x20U, 0x30U, 0x50U, 0x60U, 0x70U}) {
    expect_events(raw_frame(kFin | bits | kText, kHello), "error 1002");
  }
}

TEST(Rfc7692Reader, RefusesRsv1OnReservedOpcodes) {
  for (const unsigned opcode : {3U, 7U, 11U, 15U}) {
    expect_events(raw_frame(kFin | kRsv1 | opcode, ""), "error 1002");
  }
}

TEST(Rfc7692Reader, RefusesRsv1WhenNothingWasAgreed) {
  FrameReader reader(Role::kClient, {});
  EventRecorder recorder;
  std::string bytes = "\xC1"s + std::string(kMessagePadding, '\0');
  const auto result = reader.read({bytes.data(), 1}, recorder);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kProtocolError);
}

TEST(Rfc7692Reader, TakesMessagesThatAreNotCompressed) {
  expect_events(raw_frame(kFin | kText, "a") + raw_frame(kBinary, "b") + raw_frame(kFin, "c"),
                "text:a;binary:bc;");
}

// --- limits and bad payloads ---

// python3: compressobj(9, DEFLATED, -15) of 65,536 zeros, sync flush, without the tail: 79 bytes.
const std::string kZeros64K = "\xEC\xC1\x01\x01\x00\x00\x00\x80\x90\xFE\xAF\xEE\x08\x0A"s +
                              std::string(63, '\0') + "\x6A\x00"s;

TEST(Rfc7692Reader, TakesAMessageOfJustTheLimit) {
  DeflateReader side(Role::kClient, {}, 65'536);
  ASSERT_TRUE(side.read(make_frame(Opcode::kBinary, kZeros64K, Rsv1::kSet)));
  EXPECT_EQ(side.recorder.events, "binary:" + std::string(65'536, '\0') + ";");
}

TEST(Rfc7692Reader, RefusesAMessageThatInflatesBeyondTheLimit) {
  for (const std::size_t limit : {0UL, 1UL, 1000UL, 65'535UL}) {
    expect_events(make_frame(Opcode::kBinary, kZeros64K, Rsv1::kSet), "error 1009", Role::kClient,
                  {}, limit);
  }
}

TEST(Rfc7692Reader, LimitCountsTheInflatedBytesOfAllFragments) {
  const std::string fragments = raw_frame(kRsv1 | kText, kHello.substr(0, 4)) +
                                raw_frame(0, kHello.substr(4, 1)) +
                                raw_frame(kFin, kHello.substr(5));
  expect_events(fragments, "text:Hello;", Role::kClient, {}, 5);
  expect_events(fragments, "error 1009", Role::kClient, {}, 4);
}

TEST(Rfc7692Reader, HoldsNoMoreThanTheLimitOfABomb) {
  DeflateReader side(Role::kClient, {}, 10'000);
  const std::string bytes = raw_frame(kRsv1 | kBinary, kZeros64K);
  for (const char byte : bytes) {
    const bool good = side.read({&byte, 1});
    EXPECT_LE(side.reader.buffered_bytes(), 10'000U);
    if (!good) {
      break;
    }
  }
  EXPECT_EQ(side.recorder.events, "error 1009");
  EXPECT_EQ(side.reader.buffered_bytes(), 0U);
}

// Empty blocks give nothing, so that no limit of the output ends them.
TEST(Rfc7692Reader, EndsAMessageThatInflatesToNothing) {
  const std::string block = "\x03\x00"s;  // empty, with BFINAL
  std::string blocks;
  while (blocks.size() < 1000) {
    blocks += block;
  }
  DeflateReader side(Role::kClient, {}, 2000);
  ASSERT_TRUE(side.read(raw_frame(kRsv1 | kBinary, blocks)));
  for (int frames = 1; frames < 5; ++frames) {
    ASSERT_TRUE(side.read(raw_frame(0, blocks)));
  }
  EXPECT_FALSE(side.read(raw_frame(kFin, blocks)));
  EXPECT_EQ(side.recorder.events, "error 1009");
}

TEST(Rfc7692Reader, RefusesClaimsThatNoMessageWithinTheLimitNeeds) {
  const std::string claim = "\xC2\x7F\x40\x00\x00\x00\x00\x00\x00\x00"s;
  expect_events(claim, "error 1009");
  expect_events("\xC2\x7E\x04\x15"s, "error 1009", Role::kClient, {}, 10);  // 1045 > 2 * 10 + 1024
}

// A payload that is stored, so that it can be written by hand.
std::string stored(std::string_view bytes) {
  const auto size = static_cast<unsigned char>(bytes.size());
  std::string payload = {'\0', static_cast<char>(size), '\0',
                         static_cast<char>(static_cast<unsigned char>(~size)), '\xFF'};
  return payload + std::string(bytes);
}

TEST(Rfc7692Reader, RefusesWhatIsNotDeflate) {
  for (const std::string& payload :
       {"\xFF\xFF\xFF"s, "\x07"s, "\x00\x05\x00\xFA\xFE"s, "Hello"s, std::string(40, 'U')}) {
    expect_events(make_frame(Opcode::kBinary, payload, Rsv1::kSet), "error 1007");
    expect_events(make_frame(Opcode::kText, payload, Rsv1::kSet), "error 1007", Role::kClient,
                  kNoContext);
  }
}

// A message whose blocks do not end was cut: handing out what came would lose the rest in silence.
TEST(Rfc7692Reader, RefusesAMessageThatEndsInsideABlock) {
  for (const std::string& payload : {kPricesByPython[1], kPricesByPython[2], stored("Hey")}) {
    for (std::size_t size = 2; size + 2 < payload.size(); ++size) {
      DeflateReader side;
      EXPECT_FALSE(side.read(make_frame(Opcode::kBinary, payload.substr(0, size), Rsv1::kSet)));
      EXPECT_EQ(side.recorder.events, "error 1007") << size;
    }
  }
}

// The tail is a part of the payload (section 7.2.2): where a stored block lacks just these four
// bytes, that is what it gets.
TEST(Rfc7692Reader, TakesTheTailForTheEndOfAStoredBlock) {
  const std::string payload = stored("Hello1234");
  expect_events(raw_frame(kFin | kRsv1 | kBinary, payload.substr(0, payload.size() - 4)),
                "binary:Hello\0\0\xFF\xFF;"s);
}

// --- UTF-8 ---

TEST(Rfc7692Utf8, ChecksTheInflatedBytes) {
  expect_events(raw_frame(kFin | kRsv1 | kText, stored("\xCE\xBA") + "\0"s), "text:\xCE\xBA;");
  expect_events(raw_frame(kFin | kRsv1 | kText, stored("a\xC0\xAF") + "\0"s), "error 1007");
  expect_events(raw_frame(kFin | kRsv1 | kText, stored("\xE2\x82") + "\0"s), "error 1007");
  expect_events(raw_frame(kFin | kRsv1 | kBinary, stored("\xC0") + "\0"s), "binary:\xC0;");
}

TEST(Rfc7692Utf8, TakesCharactersThatFragmentsAndBlocksCut) {
  expect_events(raw_frame(kRsv1 | kText, stored("\xE2")) + raw_frame(kFin | 9, "\xFF") +
                    raw_frame(0, stored("\x82")) + raw_frame(kFin, stored("\xAC") + "\0"s),
                "ping:\xFF;text:\xE2\x82\xAC;");
}

TEST(Rfc7692Utf8, FailsAtTheFirstBadByteOfAFragment) {
  const std::string bytes = raw_frame(kRsv1 | kText, stored("\xCE\xBA\xE2\x82x and more"));
  DeflateReader side;
  std::size_t at = 0;
  while (at < bytes.size() && side.read(std::string_view(bytes).substr(at, 1))) {
    ++at;
  }
  EXPECT_EQ(at, 2 + 5 + 4U);  // header of the frame, of the block, and what stands before the x
  EXPECT_EQ(side.recorder.events, "error 1007");
}

TEST(Rfc7692Utf8, ReportsABadByteBeforeTheLimitThatFollowsIt) {
  const std::string text = "\xFF" + std::string(50, 'x');
  expect_events(raw_frame(kFin | kRsv1 | kText, stored(text) + "\0"s), "error 1007", Role::kClient,
                {}, 10);
  expect_events(raw_frame(kFin | kRsv1 | kText, stored(std::string(50, 'x')) + "\0"s), "error 1009",
                Role::kClient, {}, 10);
}

}  // namespace
}  // namespace trunkline::ws
