// SPDX-License-Identifier: Apache-2.0
//
// A script of frames as bytes, and what a FrameReader must make of it. Each is fed whole, cut in
// two at every place, and byte by byte: it must make no difference.
#pragma once

#include "ws/frame_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace trunkline::ws {

class ReaderScript : public ::testing::Test {
 protected:
  static constexpr unsigned kFin = 0x80;

  // Everything that was handed out, one event behind the other: "text:hello;close 1000:bye;".
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
      return go_on;
    }

    std::string events;
    bool go_on = true;
  };

  // One read, from a buffer of its own with the padding that the contract asks for.
  static Result<void> read(FrameReader& reader, MessageHandler& handler, std::string bytes) {
    const std::size_t size = bytes.size();
    bytes.append(kMessagePadding, '\xAA');
    return reader.read({bytes.data(), size}, handler);
  }

  // The reader that a script is fed to.
  virtual FrameReader reader_of(Role role, std::size_t limit = 1 << 20) {
    return {role, {.message_bytes_max = limit}};
  }

  // `cuts`: where each read ends.
  std::string feed(const std::string& bytes, const std::vector<std::size_t>& cuts, Role role,
                   std::size_t limit) {
    FrameReader reader = reader_of(role, limit);
    Recorder recorder;
    std::size_t at = 0;
    for (const std::size_t cut : cuts) {
      const auto result = read(reader, recorder, bytes.substr(at, cut - at));
      at = cut;
      if (!result.has_value()) {
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
      ASSERT_EQ(feed(bytes, {i, bytes.size()}, role, limit), events) << "cut at " << i;
    }
    EXPECT_EQ(feed(bytes, each, role, limit), events) << "byte by byte";
  }

  // How many bytes were taken, one by one, before the one that failed; all when none did.
  std::size_t good_bytes(const std::string& bytes, Role role, std::size_t limit = 1 << 20) {
    FrameReader reader = reader_of(role, limit);
    Recorder recorder;
    std::size_t at = 0;
    while (at < bytes.size() && read(reader, recorder, bytes.substr(at, 1)).has_value()) {
      ++at;
    }
    return at;
  }

  // Length and masking key by hand: `first` is the first byte, RSV bits, FIN and opcode.
  static std::string frame(unsigned first, std::string_view payload, bool masked = true) {
    std::string bytes(1, static_cast<char>(first));
    const unsigned mask = masked ? 0x80U : 0U;
    const auto put_length = [&](int octets) {
      for (int i = octets - 1; i >= 0; --i) {
        bytes += static_cast<char>(std::uint64_t{payload.size()} >> (8 * i) & 0xFFU);
      }
    };
    if (payload.size() < 126) {
      bytes += static_cast<char>(mask | payload.size());
    } else if (payload.size() < 0x10000) {
      bytes += static_cast<char>(mask | 126U);
      put_length(2);
    } else {
      bytes += static_cast<char>(mask | 127U);
      put_length(8);
    }
    std::string body(payload);
    if (masked) {
      constexpr std::string_view kKey = "\x11\x22\x33\x44";
      bytes += kKey;
      for (std::size_t i = 0; i < body.size(); ++i) {
        body[i] = static_cast<char>(body[i] ^ kKey[i % 4]);
      }
    }
    return bytes + body;
  }

  // As a reader of this role must get it.
  static std::string frame_to(Role reader, unsigned first, std::string_view payload) {
    return frame(first, payload, reader == Role::kServer);
  }

  // What frame_to puts before a payload of less than 126 bytes.
  static std::size_t short_header(Role reader) { return reader == Role::kServer ? 6 : 2; }
};

// A suite that is run for both roles of the reader.
class RoleScript : public ReaderScript, public ::testing::WithParamInterface<Role> {
 protected:
  static std::string to_reader(unsigned first, std::string_view payload) {
    return frame_to(GetParam(), first, payload);
  }

  void expect_events(const std::string& bytes, const std::string& events,
                     std::size_t limit = 1 << 20) {
    expect(bytes, events, GetParam(), limit);
  }
};

// The same with something else besides.
template <class Detail>
class RoleScriptWith : public ReaderScript,
                       public ::testing::WithParamInterface<std::tuple<Role, Detail>> {
 protected:
  static Role role() {
    return std::get<0>(::testing::WithParamInterface<std::tuple<Role, Detail>>::GetParam());
  }

  static const Detail& detail() {
    return std::get<1>(::testing::WithParamInterface<std::tuple<Role, Detail>>::GetParam());
  }

  static std::string to_reader(unsigned first, std::string_view payload) {
    return frame_to(role(), first, payload);
  }

  void expect_events(const std::string& bytes, const std::string& events,
                     std::size_t limit = 1 << 20) {
    expect(bytes, events, role(), limit);
  }
};

inline auto both_roles() {
  return ::testing::Values(Role::kServer, Role::kClient);
}

inline std::string role_name(const ::testing::TestParamInfo<Role>& info) {
  return info.param == Role::kServer ? "Server" : "Client";
}

// For details that have a `name`: "SurrogatePairToServer".
template <class Detail>
std::string detail_name(const ::testing::TestParamInfo<std::tuple<Role, Detail>>& info) {
  return std::string(std::get<1>(info.param).name) +
         (std::get<0>(info.param) == Role::kServer ? "ToServer" : "ToClient");
}

// Two bytes of a Close frame's payload.
inline std::string code_bytes(unsigned code) {
  return {static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
}

}  // namespace trunkline::ws
