// SPDX-License-Identifier: Apache-2.0
#include "ws/frame_reader.h"

#include "ws/reader_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace trunkline::ws {
namespace {

class FrameReaderTest : public ReaderScript {};

TEST_F(FrameReaderTest, ReadsTextAndBinary) {
  expect(frame(kFin | 1, "hello") + frame(kFin | 2, "\x01\x02"), "text:hello;binary:\x01\x02;");
}

TEST_F(FrameReaderTest, ReadsEmptyMessages) {
  expect(frame(kFin | 1, "") + frame(1, "") + frame(kFin | 0, ""), "text:;text:;");
}

TEST_F(FrameReaderTest, ReadsLongerLengths) {
  const std::string body(300, 'x');
  expect(frame(kFin | 1, body), "text:" + body + ";");
}

TEST_F(FrameReaderTest, ReadsLengthsOf64Bits) {
  const std::string body(70'000, 'x');
  const std::string bytes = make_masked_frame(Opcode::kBinary, body, {1, 2, 3, 4});
  for (std::size_t cut = 1; cut <= kFrameHeaderBytesMax + 1; ++cut) {
    EXPECT_EQ(feed(bytes, {cut, bytes.size()}, Role::kServer, 1 << 20), "binary:" + body + ";");
  }
}

TEST_F(FrameReaderTest, JoinsFragmentsWithControlFramesBetween) {
  expect(frame(1, "he") + frame(kFin | 9, "p") + frame(0, "l") + frame(kFin | 10, "q") +
             frame(kFin | 0, "lo"),
         "ping:p;pong:q;text:hello;");
}

TEST_F(FrameReaderTest, ClientTakesUnmaskedFrames) {
  expect(frame(kFin | 1, "hi", false), "text:hi;", Role::kClient);
}

TEST_F(FrameReaderTest, ClientReadsEveryKindOfFrame) {
  expect(frame(1, "he", false) + frame(kFin | 9, "p", false) + frame(kFin | 0, "llo", false) +
             frame(kFin | 2, std::string(200, 'b'), false) + frame(kFin | 10, "", false) +
             frame(kFin | 8, "\x0B\xB8", false),
         "ping:p;text:hello;binary:" + std::string(200, 'b') + ";pong:;close 3000:;",
         Role::kClient);
}

TEST_F(FrameReaderTest, ServerRefusesUnmaskedFrames) {
  expect(frame(kFin | 1, "hi", false), "error 1002");
}

TEST_F(FrameReaderTest, ClientRefusesMaskedFrames) {
  expect(frame(kFin | 1, "hi"), "error 1002", Role::kClient);
}

TEST_F(FrameReaderTest, RefusesReservedBits) {
  for (const unsigned bit : {0x40U, 0x20U, 0x10U}) {
    expect(frame(kFin | bit | 1U, "x"), "error 1002");
  }
}

TEST_F(FrameReaderTest, RefusesReservedOpcodes) {
  for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
    expect(frame(kFin | opcode, "x"), "error 1002");
    expect(frame(kFin | opcode, ""), "error 1002");  // good for every known one
  }
}

TEST_F(FrameReaderTest, RefusesFragmentedControlFrames) {
  for (const unsigned opcode : {8U, 9U, 10U}) {
    expect(frame(opcode, "x"), "error 1002");
  }
}

TEST_F(FrameReaderTest, RefusesControlFrameLongerThan125Bytes) {
  expect(frame(kFin | 9, std::string(125, 'x')), "ping:" + std::string(125, 'x') + ";");
  expect(frame(kFin | 9, std::string(126, 'x')), "error 1002");
}

TEST_F(FrameReaderTest, RefusesContinuationWithoutMessage) {
  expect(frame(kFin | 0, "x"), "error 1002");
}

TEST_F(FrameReaderTest, RefusesContinuationAfterAMessageHasEnded) {
  expect(frame(1, "a") + frame(kFin | 0, "b") + frame(kFin | 0, "c"), "text:ab;error 1002");
}

TEST_F(FrameReaderTest, RefusesNewMessageInsideAFragmentedOne) {
  expect(frame(1, "x") + frame(kFin | 1, "y"), "error 1002");
}

TEST_F(FrameReaderTest, RefusesLengthsThatAreNotMinimal) {
  using namespace std::string_literals;
  expect("\x81\xFE\x00\x7D"s + "\0\0\0\0"s, "error 1002");
  expect("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"s + "\0\0\0\0"s, "error 1002");
}

TEST_F(FrameReaderTest, RefusesClaimsBeforeAllocating) {
  using namespace std::string_literals;
  expect("\x82\xFF\x40\x00\x00\x00\x00\x00\x00\x00"s + "\0\0\0\0"s, "error 1009");
  expect("\x82\xFF\x80\x00\x00\x00\x00\x00\x00\x00"s + "\0\0\0\0"s, "error 1002");
}

TEST_F(FrameReaderTest, LimitCountsAllFragments) {
  expect(frame(1, "12345") + frame(kFin | 0, "67890"), "text:1234567890;", Role::kServer, 10);
  expect(frame(1, "12345") + frame(kFin | 0, "678901"), "error 1009", Role::kServer, 10);
}

TEST_F(FrameReaderTest, LimitCountsTheBytesOfOneFrame) {
  expect(frame(kFin | 2, "1234567890"), "binary:1234567890;", Role::kServer, 10);
  expect(frame(kFin | 2, "12345678901"), "error 1009", Role::kServer, 10);
}

TEST_F(FrameReaderTest, LimitStartsAnewWithEachMessage) {
  expect(frame(1, "123") + frame(kFin | 0, "45") + frame(kFin | 1, "67890"),
         "text:12345;text:67890;", Role::kServer, 5);
}

TEST_F(FrameReaderTest, LimitDoesNotCountControlFrames) {
  expect(frame(2, "12") + frame(kFin | 9, "longer than that") + frame(kFin | 0, "3"),
         "ping:longer than that;binary:123;", Role::kServer, 3);
}

TEST_F(FrameReaderTest, RefusesTextThatIsNotUtf8AtItsFirstBadByte) {
  expect(frame(kFin | 1, "a\xC0\xAF"), "error 1007");
  expect(frame(kFin | 1, "\xED\xA0\x80"), "error 1007");
  expect(frame(kFin | 1, "\xF4\x90\x80\x80"), "error 1007");
  // In a fragment, and before the frame is complete.
  const std::string partial = frame(1, "\xCE\xBA\xFF" + std::string(50, 'x')).substr(0, 10);
  expect(partial, "error 1007");
}

TEST_F(FrameReaderTest, TakesCharactersThatFragmentsCut) {
  expect(frame(1, "\xCE") + frame(kFin | 0, "\xBA"), "text:\xCE\xBA;");
  expect(frame(1, "\xCE") + frame(kFin | 0, ""), "error 1007");
}

TEST_F(FrameReaderTest, TakesCharactersThatControlFramesCut) {
  expect(frame(1, "\xE2\x82") + frame(kFin | 9, "\xFF") + frame(kFin | 0, "\xAC"),
         "ping:\xFF;text:\xE2\x82\xAC;");
}

TEST_F(FrameReaderTest, TakesAnyBytesAsBinary) {
  expect(frame(2, "\xFF\xC0") + frame(kFin | 0, "\xED\xA0") + frame(kFin | 2, "\x80"),
         "binary:\xFF\xC0\xED\xA0;binary:\x80;");
}

TEST_F(FrameReaderTest, DeliversWhatWasCompleteBeforeAViolation) {
  expect(frame(kFin | 1, "good") + frame(kFin | 3, "bad"), "text:good;error 1002");
}

TEST_F(FrameReaderTest, ReadsCloseFrames) {
  expect(frame(kFin | 8, ""), "close 1005:;");
  expect(frame(kFin | 8,
               "\x03\xE8"
               "bye"),
         "close 1000:bye;");
}

TEST_F(FrameReaderTest, TakesCloseCodesAtTheEdgesOfTheirRanges) {
  for (const unsigned code : {1000U, 1003U, 1007U, 1014U, 3000U, 4999U}) {
    const std::string payload = {static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
    expect(frame(kFin | 8, payload), "close " + std::to_string(code) + ":;");
  }
}

TEST_F(FrameReaderTest, ReadsTheLongestCloseReason) {
  const std::string reason(kCloseReasonBytesMax, 'r');
  expect(frame(kFin | 8, "\x03\xE8" + reason), "close 1000:" + reason + ";");
}

TEST_F(FrameReaderTest, ReadsACloseInsideAFragmentedMessage) {
  expect(frame(1, "begun") + frame(kFin | 8, "\x03\xE9"), "close 1001:;");
}

TEST_F(FrameReaderTest, RefusesCloseFramesThatBreakTheRules) {
  using namespace std::string_literals;
  expect(frame(kFin | 8, "\x03"), "error 1002");
  for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1100U, 2000U, 2999U, 5000U}) {
    const std::string payload = {static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
    expect(frame(kFin | 8, payload), "error 1002");
  }
  expect(frame(kFin | 8, "\x03\xE8\xFF"), "error 1007");
}

TEST_F(FrameReaderTest, IgnoresWhatFollowsAClose) {
  expect(frame(kFin | 8, "") + frame(kFin | 1, "late"), "close 1005:;");
}

TEST_F(FrameReaderTest, HoldsNothingWhileIdle) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  ASSERT_TRUE(read(reader, recorder, frame(kFin | 1, "hello")).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

TEST_F(FrameReaderTest, HoldsWhatWasReceivedAndNotWhatWasClaimed) {
  FrameReader reader(Role::kServer, {.message_bytes_max = 1 << 30});
  Recorder recorder;
  const std::string claim = make_masked_frame(Opcode::kBinary, std::string(100'000, 'x'), {});
  ASSERT_TRUE(read(reader, recorder, claim.substr(0, 14 + 3)).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 3U);
}

// A Close or a stop inside a fragmented message left the fragments in memory until the connection
// was gone.
TEST_F(FrameReaderTest, HoldsNothingAfterACloseInsideAMessage) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  ASSERT_TRUE(read(reader, recorder, frame(1, "begun") + frame(kFin | 8, "")).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

TEST_F(FrameReaderTest, HoldsNothingAfterAStopInsideAMessage) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  recorder.go_on = false;
  ASSERT_TRUE(read(reader, recorder, frame(1, "begun") + frame(kFin | 9, "")).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

TEST_F(FrameReaderTest, HoldsNothingAfterAnError) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  ASSERT_FALSE(read(reader, recorder, frame(1, "begun") + frame(kFin | 3, "")).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

TEST_F(FrameReaderTest, StopsAtEveryEventThatTheHandlerRefuses) {
  for (const unsigned opcode : {1U, 2U, 9U, 10U}) {
    FrameReader reader(Role::kServer, {});
    Recorder recorder;
    recorder.go_on = false;
    const std::string once = frame(kFin | opcode, "x");
    EXPECT_TRUE(read(reader, recorder, once + once).has_value()) << opcode;
    EXPECT_TRUE(read(reader, recorder, once).has_value()) << opcode;
    EXPECT_EQ(std::ranges::count(recorder.events, ';'), 1) << opcode;
  }
}

TEST_F(FrameReaderTest, TakesNothingAfterAnError) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  ASSERT_FALSE(read(reader, recorder, frame(kFin | 3, "x")).has_value());
  EXPECT_TRUE(read(reader, recorder, frame(kFin | 3, "x")).has_value());
  EXPECT_TRUE(read(reader, recorder, frame(kFin | 1, "late")).has_value());
  EXPECT_EQ(recorder.events, "");
}

// Remembers where messages were, and reads the padding behind each: the sanitizer sees it missing.
struct PlaceRecorder final : MessageHandler {
  bool on_text(std::span<char> message) override {
    place = message.data();
    const volatile char* padding = message.data() + message.size();
    for (std::size_t i = 0; i < kMessagePadding; ++i) {
      [[maybe_unused]] const char byte = padding[i];
    }
    return true;
  }

  bool on_binary(std::span<char> message) override { return on_text(message); }

  bool on_ping(std::string_view /*payload*/) override { return true; }

  bool on_pong(std::string_view /*payload*/) override { return true; }

  bool on_close(CloseCode /*code*/, std::string_view /*reason*/) override { return true; }

  const char* place = nullptr;
};

TEST_F(FrameReaderTest, HandsOutTheCallersBufferWhenAMessageCameWhole) {
  FrameReader reader(Role::kServer, {});
  PlaceRecorder recorder;
  std::string bytes = frame(kFin | 9, "ping") + frame(kFin | 1, "hello");
  const std::size_t size = bytes.size();
  bytes.append(kMessagePadding, '\0');
  ASSERT_TRUE(reader.read({bytes.data(), size}, recorder).has_value());
  EXPECT_EQ(recorder.place, bytes.data() + size - 5);
}

TEST_F(FrameReaderTest, PadsAMessageThatItHeld) {
  for (const std::size_t size : {1UL, 64UL, 300UL}) {
    FrameReader reader(Role::kServer, {});
    PlaceRecorder recorder;
    const std::string bytes = frame(kFin | 1, std::string(size, 'x'));
    ASSERT_TRUE(read(reader, recorder, bytes.substr(0, bytes.size() - 1)).has_value());
    ASSERT_TRUE(read(reader, recorder, bytes.substr(bytes.size() - 1)).has_value());
    EXPECT_NE(recorder.place, nullptr);
  }
}

TEST_F(FrameReaderTest, FailsInTheReadThatBringsTheFirstBadByte) {
  FrameReader reader(Role::kServer, {});
  Recorder recorder;
  const std::string bytes = frame(1, "\xCE") + frame(0, "\xBA\xE2\x82x" + std::string(90, 'x'));
  std::size_t at = 0;
  while (at < bytes.size() && read(reader, recorder, bytes.substr(at, 1)).has_value()) {
    ++at;
  }
  // Both headers, the first payload, and of the second what stands before the x.
  EXPECT_EQ(at, 6 + 1 + 6 + 3U);
}

}  // namespace
}  // namespace trunkline::ws
