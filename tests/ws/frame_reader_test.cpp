// SPDX-License-Identifier: Apache-2.0
#include "ws/frame_reader.h"

#include "ws/reader_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace trunkline::ws {
namespace {

// What a reader holds and hands out. What it takes and refuses is in the tests by section of the
// RFC.
class FrameReaderTest : public ReaderScript {};

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

}  // namespace
}  // namespace trunkline::ws
