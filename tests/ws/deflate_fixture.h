// SPDX-License-Identifier: Apache-2.0
//
// What the tests of permessage-deflate share: a handler that writes down what it is told, and a
// reader that is fed pieces from buffers of their own.
#pragma once

#include "ws/deflate.h"
#include "ws/frame_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::ws {

struct EventRecorder final : MessageHandler {
  bool on_text(std::span<char> message) override {
    return note("text", {message.data(), message.size()});
  }

  bool on_binary(std::span<char> message) override {
    return note("binary", {message.data(), message.size()});
  }

  bool on_ping(std::string_view payload) override { return note("ping", payload); }

  bool on_pong(std::string_view payload) override { return note("pong", payload); }

  bool on_close(CloseCode code, std::string_view reason) override {
    return note("close " + std::to_string(code), reason);
  }

  bool note(const std::string& kind, std::string_view bytes) {
    events += kind + ":" + std::string(bytes) + ";";
    return true;
  }

  std::string events;
};

// One side of a connection that agreed to permessage-deflate.
class DeflateReader {
 public:
  explicit DeflateReader(Role role = Role::kClient, const DeflateParameters& agreed = {},
                         std::size_t bytes_max = 1 << 20)
      : reader(role, {.message_bytes_max = bytes_max}) {
    reader.use_deflate(agreed, scratch);
  }

  // False after an error, which `events` then ends with.
  bool read(std::string_view bytes) {
    std::vector<char> buffer(bytes.size() + kMessagePadding, '\xAA');
    std::ranges::copy(bytes, buffer.begin());
    const Result<void> result = reader.read({buffer.data(), bytes.size()}, recorder);
    if (!result.has_value()) {
      recorder.events += "error " + std::to_string(close_code(result.error().code));
    }
    return result.has_value();
  }

  DeflateScratch scratch{{}};
  FrameReader reader;
  EventRecorder recorder;
};

// What comes of `bytes`: fed whole, cut in two at every place, and byte by byte, all the same.
inline void expect_events(const std::string& bytes, const std::string& events,
                          Role role = Role::kClient, const DeflateParameters& agreed = {},
                          std::size_t bytes_max = 1 << 20) {
  const auto feed = [&](std::size_t first, std::size_t step) {
    DeflateReader side(role, agreed, bytes_max);
    bool good = side.read(std::string_view(bytes).substr(0, first));
    for (std::size_t at = first; good && at < bytes.size(); at += step) {
      good = side.read(std::string_view(bytes).substr(at, step));
    }
    return side.recorder.events;
  };
  EXPECT_EQ(feed(bytes.size(), 1), events) << "whole";
  EXPECT_EQ(feed(0, 1), events) << "byte by byte";
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    ASSERT_EQ(feed(cut, bytes.size()), events) << "cut at " << cut;
  }
}

// An unmasked frame with any first byte, right or wrong.
inline std::string raw_frame(unsigned first, std::string_view payload) {
  std::string bytes = make_frame(Opcode::kText, payload);
  bytes[0] = static_cast<char>(static_cast<unsigned char>(first));
  return bytes;
}

}  // namespace trunkline::ws
