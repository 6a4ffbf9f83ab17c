// SPDX-License-Identifier: Apache-2.0
//
// A handler for the targets that feed a FrameReader: it holds what it is handed to the contract,
// and writes it down for comparing.
#pragma once

#include "ws/frame_reader.h"

#include <simdjson.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace trunkline::fuzz {

inline void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// Everything that was handed out, as text.
class EventRecorder final : public ws::MessageHandler {
 public:
  explicit EventRecorder(std::size_t limit) : limit_(limit) {}

  bool on_text(std::span<char> message) override {
    require(simdjson::validate_utf8(message.data(), message.size()));
    return note('t', {message.data(), message.size()}, limit_);
  }

  bool on_binary(std::span<char> message) override {
    return note('b', {message.data(), message.size()}, limit_);
  }

  bool on_ping(std::string_view payload) override { return note('p', payload, 125); }

  bool on_pong(std::string_view payload) override { return note('o', payload, 125); }

  bool on_close(ws::CloseCode code, std::string_view reason) override {
    require(code == ws::kCloseNoStatus || ws::may_be_sent(code));
    note('c', reason, ws::kCloseReasonBytesMax);
    closed = true;
    return false;
  }

  std::string events;
  bool closed = false;

 private:
  bool note(char kind, std::string_view payload, std::size_t bytes_max) {
    require(!closed && payload.size() <= bytes_max);
    events += kind;
    events += std::to_string(payload.size());
    events += payload;
    return true;
  }

  const std::size_t limit_;
};

}  // namespace trunkline::fuzz
