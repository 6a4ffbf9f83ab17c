// SPDX-License-Identifier: Apache-2.0
//
// Reads frames (RFC 6455, sections 5 and 8.1) from bytes as they come: strict, without sockets, and
// without copying a message that arrives whole; and those of permessage-deflate (RFC 7692), which
// it inflates as they come, so that compressed bytes are never held.
#pragma once

#include <trunkline/error.h>

#include "ws/deflate.h"
#include "ws/frame.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace trunkline::ws {

// Readable bytes that follow every message handed out, so that a SIMD parser may overrun. Their
// content is undefined. The caller of FrameReader::read grants the same behind its own buffer.
inline constexpr std::size_t kMessagePadding = 64;

// What a reader found. Called in the order of the wire. Spans are valid until the call returns, and
// may be written to. Returning false stops the reader for good: the rest of the bytes is dropped.
class MessageHandler {
 public:
  MessageHandler() = default;
  MessageHandler(const MessageHandler&) = delete;
  MessageHandler& operator=(const MessageHandler&) = delete;
  virtual ~MessageHandler() = default;

  // A whole text message, valid UTF-8.
  virtual bool on_text(std::span<char> message) = 0;
  virtual bool on_binary(std::span<char> message) = 0;
  virtual bool on_ping(std::string_view payload) = 0;
  virtual bool on_pong(std::string_view payload) = 0;
  // The peer's Close frame: kCloseNoStatus and an empty reason when it carried none. No event
  // follows it; bytes after it are ignored (section 1.4).
  virtual bool on_close(CloseCode code, std::string_view reason) = 0;
};

struct ReaderLimits {
  // A message's payload, all fragments together; beyond it kMessageTooBig, before anything of that
  // size is allocated. Of a compressed message it is the inflated size, and what is compressed may
  // be twice as long and 1 KiB: a deflate stream can go on without giving anything.
  std::size_t message_bytes_max = 512UL * 1024;
};

// Idle it holds no buffer: at most 64 bytes of state a connection.
// Thread: owning shard.
class FrameReader {
 public:
  // The role of the reading side: a server demands masked frames, a client unmasked ones
  // (section 5.1).
  FrameReader(Role role, ReaderLimits limits);
  FrameReader(FrameReader&&) noexcept;
  FrameReader& operator=(FrameReader&&) noexcept;
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;
  ~FrameReader();

  // From here on compressed messages are taken: permessage-deflate was agreed. Call it before the
  // first read. `scratch` must outlive this. With context takeover of the peer's direction the
  // reader holds a state of zlib from the first compressed message on; without it only while a
  // compressed message is unfinished.
  void use_deflate(const DeflateParameters& agreed, DeflateScratch& scratch);

  // Takes all of `bytes` (unmasked in place; kMessagePadding readable bytes must follow them) and
  // calls the handler for each complete message and control frame, in order. Events that were
  // complete before a violation are delivered first. Errors: kProtocolError, kInvalidPayload (text
  // fails at its first bad byte, also inside a fragment; what is not deflate), kMessageTooBig;
  // after an error, a Close or a stop the reader takes nothing more and returns success for what it
  // drops.
  Result<void> read(std::span<char> bytes, MessageHandler& handler);

  // No frame and no message has begun and is not finished.
  [[nodiscard]] bool is_between_messages() const { return partial_ == nullptr; }

  // Bytes held for an unfinished frame or message; those of zlib's states are not counted.
  [[nodiscard]] std::size_t buffered_bytes() const;

 private:
  struct Header;
  struct Partial;  // allocated only while a frame or message is unfinished

  // A frame's header, with size 0 while it is incomplete.
  [[nodiscard]] Result<Header> read_header(std::string_view bytes) const;
  Partial& need_partial();
  // Each takes some of the bytes and says how many.
  Result<std::size_t> begin_frame(std::span<char> bytes, MessageHandler& handler);
  Result<std::size_t> continue_frame(std::span<char> bytes, MessageHandler& handler);
  [[nodiscard]] Result<void> check_order(const Header& header) const;
  // What the message's payload may still be, in bytes of the wire.
  [[nodiscard]] std::uint64_t payload_bytes_left(const Header& header) const;
  Result<void> deliver_whole(const Header& header, std::span<char> message,
                             MessageHandler& handler);
  Result<void> deliver_inflated(const Header& header, std::span<char> payload,
                                MessageHandler& handler);
  // Each takes more of the unfinished message's payload.
  Result<void> append(std::span<char> chunk);
  Result<void> append_inflated(std::span<char> chunk);
  Result<void> finish_frame(MessageHandler& handler);
  Result<void> finish_control(MessageHandler& handler);
  Result<void> finish_inflating();
  std::unique_ptr<Inflater> take_inflater();
  void put_back(std::unique_ptr<Inflater> inflater);

  Role role_;
  bool stopped_ = false;
  bool context_takeover_ = false;
  std::uint8_t window_bits_ = kWindowBitsMax;
  ReaderLimits limits_;
  std::unique_ptr<Partial> partial_;
  DeflateScratch* scratch_ = nullptr;   // null: permessage-deflate was not agreed
  std::unique_ptr<Inflater> inflater_;  // between messages, with context takeover
};

}  // namespace trunkline::ws
