// SPDX-License-Identifier: Apache-2.0
//
// Grid messages as bytes (docs/grid-protocol.md, "Frames and messages"). Reading checks everything
// that can be said of one message by itself; what it means on a connection is the Mux's.
#pragma once

#include <trunkline/error.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::grid {

enum class MessageType : std::uint8_t {
  kRequest = 1,
  kOpen = 2,
  kResponse = 3,
  kData = 4,
  kChunk = 5,
  kEnd = 6,
  kFailure = 7,
  kCancel = 8,
  kCredit = 9,
  kPing = 10,
  kPong = 11,
  kGoaway = 12,
};

// A stable lower-case name, for logs. Thread: any.
[[nodiscard]] std::string_view name(MessageType type);

// Which class a call's messages are sent in; on the wire in two bits.
enum class Priority : std::uint8_t {
  kBySize = 0,
  kSmall = 1,
  kStream = 2,
  kBulk = 3,
};

inline constexpr std::size_t kHeaderBytes = 16;
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::uint16_t kHandlerNumbersMax = 1023;
// More than the header and all extras of any message.
inline constexpr std::size_t kOverheadBytesMax = kHeaderBytes + 4 + 8 + 2 + kNameBytesMax + 4;

// One message, of whatever type; what a type does not have stays as it is here. Views are borrowed.
struct Message {
  MessageType type = MessageType::kPing;
  bool more = false;      // chunks follow; `total` says how much in all
  bool has_name = false;  // `name` is in front
  bool not_run = false;   // of a Failure: no handler has seen the call
  Priority priority = Priority::kBySize;
  std::uint16_t number = 0;  // handler, failure code, or Goaway's kind
  std::uint64_t id = 0;
  std::uint32_t deadline_ms = 0;  // 0: none
  // Open: credit. End, Failure, Cancel: size. Credit: limit. Ping, Pong: token.
  std::uint64_t value = 0;
  std::uint32_t application = 0;
  std::uint32_t total = 0;
  std::string_view name{};
  std::string_view payload{};

  friend bool operator==(const Message&, const Message&) = default;
};

// Bytes that append_message() adds beside the payload.
[[nodiscard]] std::size_t overhead_of(const Message& message);

// The payload must be shorter than 4 GiB less 1 KiB, a name at most kNameBytesMax.
void append_message(std::string& out, const Message& message);

// What a peer broke of docs/grid-protocol.md; ends its connection.
inline std::unexpected<Error> broken(std::string context) {
  return fail(ErrorCode::kProtocolError, std::move(context));
}

// Takes the first message off `bytes`. Views point into them. Error: kProtocolError with the rule
// that was broken, for what is cut short, too.
[[nodiscard]] Result<Message> take_message(std::string_view& bytes);

// The end of a binary message when checksums were agreed.
inline constexpr std::size_t kChecksumBytes = 4;
void append_checksum(std::string& frame, std::size_t begin);
// Takes it off. Error: kProtocolError.
[[nodiscard]] Result<std::string_view> check_checksum(std::string_view frame);

}  // namespace trunkline::grid
