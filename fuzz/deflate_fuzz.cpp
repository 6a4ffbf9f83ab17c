// SPDX-License-Identifier: Apache-2.0
//
// permessage-deflate from anywhere. The first byte says what the rest is: the text of a
// negotiation, frames, the payload of one compressed message, or messages for a round trip; the
// second and third choose roles, options and how the bytes are cut.
#include "event_recorder.h"
#include "ws/deflate.h"
#include "ws/frame_reader.h"

#include <simdjson.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using trunkline::fuzz::EventRecorder;
using trunkline::fuzz::require;
namespace ws = trunkline::ws;

struct Choice {
  std::uint8_t first = 0;
  std::uint8_t second = 0;

  [[nodiscard]] bool bit(unsigned n) const {
    return (((first | unsigned{second} << 8U) >> n) & 1U) != 0;
  }

  [[nodiscard]] ws::Role role() const { return bit(0) ? ws::Role::kServer : ws::Role::kClient; }

  [[nodiscard]] ws::DeflateParameters parameters() const {
    return {.server_no_context_takeover = bit(1),
            .client_no_context_takeover = bit(2),
            .server_max_window_bits = static_cast<std::uint8_t>(8 + (first >> 3U) % 8),
            .client_max_window_bits = static_cast<std::uint8_t>(8 + (first >> 5U))};
  }
};

void negotiate(const Choice& choice, std::string_view text) {
  const auto agreement = ws::accept_deflate(text, choice.parameters());
  if (agreement.has_value() && agreement->has_value()) {
    // An open offer allows every answer, so that the client's side must read the same out of it.
    const auto read = ws::check_deflate_answer((*agreement)->answer, {});
    require(read.has_value() && read->has_value() && **read == (*agreement)->parameters);
  }
  const auto checked = ws::check_deflate_answer(text, choice.parameters());
  if (checked.has_value() && checked->has_value()) {
    const ws::DeflateParameters demanded = choice.parameters();
    require((*checked)->server_max_window_bits <= demanded.server_max_window_bits);
    require((*checked)->client_max_window_bits <= demanded.client_max_window_bits);
    require((*checked)->server_no_context_takeover || !demanded.server_no_context_takeover);
    require((*checked)->client_no_context_takeover || !demanded.client_no_context_takeover);
    // What is a good answer is no text that a server refuses for its grammar.
    require(agreement.has_value());
  }
}

struct Outcome {
  std::string events;
  int error = 0;
};

Outcome read(ws::Role role, const ws::DeflateParameters& agreed, std::size_t limit,
             std::string_view bytes, std::size_t piece) {
  ws::DeflateScratch scratch({});
  ws::FrameReader reader(role, {.message_bytes_max = limit});
  reader.use_deflate(agreed, scratch);
  EventRecorder recorder(limit);
  Outcome outcome;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    std::vector<char> buffer(part.size() + ws::kMessagePadding);
    std::ranges::copy(part, buffer.begin());
    const auto result = reader.read({buffer.data(), part.size()}, recorder);
    require(reader.buffered_bytes() <= limit + 125 + ws::kFrameHeaderBytesMax);
    if (!result.has_value()) {
      outcome.error = static_cast<int>(result.error().code);
      require(reader.buffered_bytes() == 0);
      break;
    }
  }
  outcome.events = std::move(recorder.events);
  return outcome;
}

// However the bytes are cut, the same comes of them. Windows are the largest: whether zlib sees a
// distance beyond a smaller one depends on what it still has in its output.
void read_frames(const Choice& choice, std::string_view bytes) {
  const std::size_t limit = choice.bit(8) ? 64 : 4096;
  const std::size_t piece = 1U + (choice.second >> 1U) % 64U;
  ws::DeflateParameters agreed = choice.parameters();
  agreed.server_max_window_bits = agreed.client_max_window_bits = ws::kWindowBitsMax;
  const Outcome whole = read(choice.role(), agreed, limit, bytes, bytes.size() + 1);
  const Outcome pieces = read(choice.role(), agreed, limit, bytes, piece);
  require(whole.events == pieces.events && whole.error == pieces.error);
  // Smaller windows: no more than that nothing breaks.
  read(choice.role(), choice.parameters(), limit, bytes, piece);
}

std::string framed(ws::Role reader, ws::Opcode opcode, std::string_view payload, ws::Rsv1 rsv1) {
  return reader == ws::Role::kServer ? ws::make_masked_frame(opcode, payload, {1, 2, 3, 4}, rsv1)
                                     : ws::make_frame(opcode, payload, rsv1);
}

// What zlib alone makes of one payload and the tail, with room for one byte at a time: slow and
// obvious, where the reader is neither. Stops one byte beyond the limit.
struct Reference {
  std::string message;
  bool good = false;  // DEFLATE data that ends with a block
};

Reference inflate_alone(std::string_view payload, std::size_t limit) {
  const std::string data = std::string(payload) + std::string("\x00\x00\xFF\xFF", 4);
  Reference reference{.message = {}, .good = payload.empty()};
  z_stream stream{};
  require(inflateInit2(&stream, -15) == Z_OK);
  stream.next_in = reinterpret_cast<const Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  while (!reference.good && reference.message.size() <= limit) {
    Bytef byte = 0;
    stream.next_out = &byte;
    stream.avail_out = 1;
    const int status = inflate(&stream, Z_SYNC_FLUSH);
    if (stream.avail_out == 0) {
      reference.message += static_cast<char>(byte);
    }
    const bool ended = status == Z_STREAM_END;
    if (ended) {
      inflateResetKeep(&stream);
    } else if (status != Z_OK) {
      break;
    }
    // Behind a block with BFINAL the tail may be left out (zlib's Z_FINISH).
    reference.good = stream.avail_in == 0 ? ended || (stream.data_type & 128) != 0
                                          : ended && stream.avail_in == 4;
  }
  inflateEnd(&stream);
  return reference;
}

// Whether text is wrong before its end: nothing that may follow its last character helps. The
// endings are the lowest and highest behind each first byte of a character.
bool has_bad_byte(std::string_view text) {
  constexpr std::array<std::string_view, 6> kEndings = {"",         "\x80",         "\xA0\x80",
                                                        "\x80\x80", "\x90\x80\x80", "\x80\x80\x80"};
  return std::ranges::none_of(kEndings, [text](std::string_view ending) {
    const std::string whole = std::string(text) + std::string(ending);
    return simdjson::validate_utf8(whole.data(), whole.size());
  });
}

// One payload as one message, against the reference: the same bytes, or the error that comes first.
void compare_payload(const Choice& choice, std::string_view payload) {
  using trunkline::ErrorCode;
  const std::size_t limit = choice.bit(8) ? 64 : 600;
  if (payload.size() > 2 * limit + 1024) {
    return;
  }
  const bool text = choice.bit(15);
  const Outcome outcome = read(choice.role(), {}, limit,
                               framed(choice.role(), text ? ws::Opcode::kText : ws::Opcode::kBinary,
                                      payload, ws::Rsv1::kSet),
                               1U + (choice.second >> 1U) % 64U);
  Reference reference = inflate_alone(payload, limit);
  const std::string_view within = std::string_view(reference.message).substr(0, limit);
  int error = 0;
  if (text && has_bad_byte(within)) {
    error = static_cast<int>(ErrorCode::kInvalidPayload);
  } else if (reference.message.size() > limit) {
    error = static_cast<int>(ErrorCode::kMessageTooBig);
  } else if (!reference.good || (text && !simdjson::validate_utf8(within.data(), within.size()))) {
    error = static_cast<int>(ErrorCode::kInvalidPayload);
  }
  EventRecorder expected(limit);
  if (error == 0) {
    const std::span<char> message(reference.message.data(), reference.message.size());
    static_cast<void>(text ? expected.on_text(message) : expected.on_binary(message));
  }
  require(outcome.error == error && outcome.events == expected.events);
}

// A payload twice, once in fragments: the second may refer to the first.
void read_payload(const Choice& choice, std::string_view payload) {
  compare_payload(choice, payload);
  const ws::Opcode opcode = choice.bit(15) ? ws::Opcode::kText : ws::Opcode::kBinary;
  std::string start =
      framed(choice.role(), opcode, payload.substr(0, payload.size() / 2), ws::Rsv1::kSet);
  start[0] = static_cast<char>(static_cast<std::uint8_t>(start[0]) & 0x7FU);
  read_frames(choice, framed(choice.role(), opcode, payload, ws::Rsv1::kSet) + start +
                          framed(choice.role(), ws::Opcode::kContinuation,
                                 payload.substr(payload.size() / 2), ws::Rsv1::kClear));
}

// Messages, cut at each byte 0xFE, must arrive as they were sent.
void round_trip(const Choice& choice, std::string_view data) {
  const ws::DeflateParameters agreed = choice.parameters();
  const bool to_server = choice.role() == ws::Role::kServer;
  ws::DeflateScratch scratch({.level = choice.second % 10,
                              .memory_level = 1 + choice.second % 9,
                              .threshold_bytes = choice.second % 5U});
  ws::DeflateSender sender(to_server ? ws::Role::kClient : ws::Role::kServer, agreed, scratch);
  EventRecorder expected(1UL << 20U);
  std::string bytes;
  while (!data.empty()) {
    const std::string_view message = data.substr(0, data.find('\xFE'));
    data.remove_prefix(std::min(message.size() + 1, data.size()));
    std::string copy(message);
    expected.on_binary({copy.data(), copy.size()});
    bytes += to_server ? sender.masked_frame(ws::Opcode::kBinary, message, {5, 6, 7, 8})
                       : sender.frame(ws::Opcode::kBinary, message);
    if (sender.takes_shared_frames() && !to_server) {
      if (const auto shared = make_compressed_frame(ws::Opcode::kBinary, message, scratch)) {
        require(shared->size() < ws::make_frame(ws::Opcode::kBinary, message).size());
        bytes += *shared;
        expected.on_binary({copy.data(), copy.size()});
      }
    }
  }
  const Outcome outcome = read(choice.role(), agreed, 1UL << 20U, bytes, 1U + choice.second % 64U);
  require(outcome.error == 0 && outcome.events == expected.events);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) {
    return 0;
  }
  const Choice choice{data[1], data[2]};
  const std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  switch (data[0] % 4U) {
    case 0:
      negotiate(choice, rest);
      break;
    case 1:
      read_frames(choice, rest);
      break;
    case 2:
      read_payload(choice, rest);
      break;
    default:
      round_trip(choice, rest);
      break;
  }
  return 0;
}
