// SPDX-License-Identifier: Apache-2.0
#include "ws/frame_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace trunkline::ws {
namespace {

// A script of bytes and what must come of it. Each is fed whole, byte by byte, and cut in two at
// every place: it must make no difference.
class FrameReaderTest : public ::testing::Test {
 protected:
  struct Recorder final : MessageHandler {
    bool on_text(std::span<char> message) override { return note("text", message); }

    bool on_binary(std::span<char> message) override { return note("binary", message); }

    bool on_ping(std::string_view payload) override { return note("ping", payload); }

    bool on_pong(std::string_view payload) override { return note("pong", payload); }

    bool on_close(CloseCode code, std::string_view reason) override {
      return note("close " + std::to_string(code), reason);
    }

    template <class Bytes>
    bool note(const std::string& kind, const Bytes& bytes) {
      events += kind + ":" + std::string(bytes.begin(), bytes.end()) + ";";
      return true;
    }

    std::string events;
  };

  static std::string feed(const std::string& bytes, const std::vector<std::size_t>& cuts, Role role,
                          std::size_t limit) {
    FrameReader reader(role, {.message_bytes_max = limit});
    Recorder recorder;
    std::size_t at = 0;
    for (const std::size_t cut : cuts) {
      std::string piece = bytes.substr(at, cut - at);
      at = cut;
      const std::size_t size = piece.size();
      piece.append(kMessagePadding, '\xAA');
      if (const auto result = reader.read({piece.data(), size}, recorder); !result.has_value()) {
        return recorder.events + "error " + std::to_string(close_code(result.error().code));
      }
    }
    return recorder.events;
  }

  void expect(const std::string& bytes, const std::string& events, Role role = Role::kServer,
              std::size_t limit = 1 << 20) {
    EXPECT_EQ(feed(bytes, {bytes.size()}, role, limit), events) << "whole";
    std::vector<std::size_t> each;
    for (std::size_t i = 1; i <= bytes.size(); ++i) {
      each.push_back(i);
      EXPECT_EQ(feed(bytes, {i, bytes.size()}, role, limit), events) << "cut at " << i;
    }
    EXPECT_EQ(feed(bytes, each, role, limit), events) << "byte by byte";
  }

  static std::string frame(unsigned first, std::string_view payload, bool masked = true) {
    std::string bytes(1, static_cast<char>(first));
    const unsigned mask = masked ? 0x80U : 0U;
    if (payload.size() < 126) {
      bytes += static_cast<char>(mask | payload.size());
    } else {
      bytes += static_cast<char>(mask | 126U);
      bytes += static_cast<char>(payload.size() >> 8U);
      bytes += static_cast<char>(payload.size() & 0xFFU);
    }
    std::string body(payload);
    if (masked) {
      const MaskingKey key = {0x11, 0x22, 0x33, 0x44};
      bytes += "\x11\x22\x33\x44";
      apply_mask({body.data(), body.size()}, key);
    }
    return bytes + body;
  }

  static constexpr unsigned kFin = 0x80;
};

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

TEST_F(FrameReaderTest, JoinsFragmentsWithControlFramesBetween) {
  expect(frame(1, "he") + frame(kFin | 9, "p") + frame(0, "l") + frame(kFin | 10, "q") +
             frame(kFin | 0, "lo"),
         "ping:p;pong:q;text:hello;");
}

TEST_F(FrameReaderTest, ClientTakesUnmaskedFrames) {
  expect(frame(kFin | 1, "hi", false), "text:hi;", Role::kClient);
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
  std::string bytes = frame(kFin | 1, "hello");
  const std::size_t size = bytes.size();
  bytes.append(kMessagePadding, '\0');
  ASSERT_TRUE(reader.read({bytes.data(), size}, recorder).has_value());
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

TEST(ApplyMask, EqualsTheNaiveLoopForEveryPhaseAndSize) {
  const MaskingKey key = {0xA1, 0x0B, 0xC2, 0x7D};
  for (std::uint64_t phase = 0; phase < 8; ++phase) {
    for (std::size_t size = 0; size < 40; ++size) {
      std::string data(size, 'z');
      std::string expected = data;
      for (std::size_t i = 0; i < size; ++i) {
        expected[i] =
            static_cast<char>(static_cast<unsigned char>(expected[i]) ^ key[(phase + i) % 4]);
      }
      apply_mask({data.data(), data.size()}, key, phase);
      EXPECT_EQ(data, expected) << phase << " " << size;
    }
  }
}

TEST(ClosePayload, CutsAReasonAtACharactersBorder) {
  const std::string payload = close_payload(3000, std::string(122, 'x') + "\xC3\xA9");
  EXPECT_EQ(payload.size(), 2 + 122U);
}

}  // namespace
}  // namespace trunkline::ws
