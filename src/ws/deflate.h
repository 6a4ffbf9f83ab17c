// SPDX-License-Identifier: Apache-2.0
//
// The payloads of permessage-deflate (RFC 7692, section 7.2).
//
// A zlib state is large: up to 256 KiB to compress, 40 KiB to decompress. With context takeover a
// connection has to keep one a direction. Without it nothing outlives a message, so all connections
// of a shard take turns with the states of one DeflateScratch, and a message for many connections
// is compressed once (make_compressed_frame).
//
// Thread: everything here belongs to one shard.
#pragma once

#include <trunkline/error.h>

#include "ws/deflate_offer.h"
#include "ws/frame.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::ws {

// How this side compresses. Values out of range count as the nearest that is inside.
struct CompressionSettings {
  // zlib's, 0 (stores only) to 9. 1 is what a server can afford: see the figures in the commit.
  int level = 1;
  // zlib's, 1 to 9: 2^(memory_level + 9) bytes a state for the hash table and pending output.
  int memory_level = 8;
  // 8 to 15: 2^(window_bits + 2) bytes a state. The agreed *_max_window_bits narrows it.
  std::uint8_t window_bits = kWindowBitsMax;
  // Shorter messages are sent as they are. Alone, without context, they hardly shrink.
  std::size_t threshold_bytes = 128;
};

// Bytes that states of zlib hold. Shared by those of a shard, which must not outlive it.
using ZlibBytes = std::size_t;

// Compresses messages. Neither copies nor moves: zlib keeps a pointer to it.
class Deflater {
 public:
  // `window_bits` narrows the settings' further. With 8 no string but runs of one byte is matched:
  // zlib has no window of 256 bytes for raw deflate, and may not use a larger one.
  // What it holds is added to `account`, when there is one.
  Deflater(const CompressionSettings& settings, std::uint8_t window_bits,
           ZlibBytes* account = nullptr);
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater();

  // Puts the compressed payload of a whole message into `payload`, without the tail 00 00 ff ff
  // (section 7.2.1). It may be longer than the message, by 5 bytes in some kilobytes and a few
  // more. It refers to earlier messages unless reset() came between. Never empty.
  void compress(std::string_view message, std::string& payload);

  // Forgets earlier messages: no context takeover.
  void reset();

 private:
  struct Stream;

  void run(std::string_view piece, int flush, std::string& payload);

  std::unique_ptr<Stream> stream_;
};

// Decompresses messages, each in as many pieces as it comes. After an error only destruction is
// allowed.
class Inflater {
 public:
  // `window_bits`: of the peer's agreed window; 15 takes whatever is valid. What it holds is added
  // to `account`, when there is one.
  explicit Inflater(std::uint8_t window_bits, ZlibBytes* account = nullptr);
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater();

  // Inflates a piece of a message's payload and appends to `message` all that it gives, also before
  // an error. Errors: kMessageTooBig when `message` would grow beyond `bytes_max`, at which it
  // stops; kInvalidPayload for what is not deflate (RFC 1951). A block with BFINAL does not end a
  // message (section 7.2.3.4).
  Result<void> inflate(std::string_view piece, std::vector<char>& message, std::size_t bytes_max);

  // The end of a message's payload: appends the tail (section 7.2.2). Errors as above, and
  // kInvalidPayload when the payload ends inside a block.
  Result<void> finish(std::vector<char>& message, std::size_t bytes_max);

  // Forgets earlier messages: no context takeover.
  void reset();

 private:
  struct Stream;

  Result<void> run(std::string_view piece, std::vector<char>& message, std::size_t bytes_max);
  void begin_stream();
  [[nodiscard]] bool more_to_do() const;

  std::unique_ptr<Stream> stream_;
  bool message_began_ = false;
  bool stream_ended_ = false;  // by a block with BFINAL
};

// What the connections of a shard share: zlib states of messages without context takeover, and a
// buffer. Must outlive every FrameReader and DeflateSender that was given it. Holds at most one
// state a window size to compress and one to decompress; none before the first message.
class DeflateScratch {
 public:
  explicit DeflateScratch(const CompressionSettings& settings) : settings_(settings) {}

  DeflateScratch(const DeflateScratch&) = delete;
  DeflateScratch& operator=(const DeflateScratch&) = delete;
  ~DeflateScratch() = default;

  [[nodiscard]] const CompressionSettings& settings() const { return settings_; }

  // What all states that were given it hold now.
  [[nodiscard]] ZlibBytes& state_bytes() { return state_bytes_; }

  [[nodiscard]] ZlibBytes state_bytes() const { return state_bytes_; }

  // A state without context, for one message; valid until the next call.
  [[nodiscard]] Deflater& deflater(std::uint8_t window_bits);

  // A state without context. The borrower keeps it as long as a message is unfinished, perhaps for
  // many reads; then it gives it back, or destroys it.
  [[nodiscard]] std::unique_ptr<Inflater> borrow_inflater();
  void give_back(std::unique_ptr<Inflater> inflater);

  // An empty buffer that has its capacity from earlier messages. Borrowed and not lent out by
  // reference, so that whoever gets a message out of it may cause another one to be read.
  [[nodiscard]] std::vector<char> borrow_buffer();
  void give_back(std::vector<char> buffer);

  // The same for compressed payloads; its content is undefined.
  [[nodiscard]] std::string borrow_payload();
  void give_back(std::string payload);

 private:
  CompressionSettings settings_;
  ZlibBytes state_bytes_ = 0;  // before the states, which take off what they held
  std::array<std::unique_ptr<Deflater>, kWindowBitsMax - kWindowBitsMin + 1> deflaters_;
  std::unique_ptr<Inflater> inflater_;
  std::vector<char> buffer_;
  std::string payload_;
};

// The sending side of one connection that agreed to permessage-deflate. Idle it holds a state of
// zlib only when its direction has context takeover and something was compressed.
class DeflateSender {
 public:
  // `role` is the sender's own. `scratch` must outlive this.
  DeflateSender(Role role, const DeflateParameters& agreed, DeflateScratch& scratch);

  // A whole unmasked frame (server role) of a text or binary message, compressed where that makes
  // it smaller. With context takeover every message from threshold_bytes on is sent compressed:
  // once the state has seen it, the peer's has to.
  [[nodiscard]] std::string frame(Opcode opcode, std::string_view message);

  // The same, masked (client role).
  [[nodiscard]] std::string masked_frame(Opcode opcode, std::string_view message, MaskingKey key);

  // Whether frames of make_compressed_frame with this scratch's settings may be sent here as well:
  // without context takeover, and when the agreed window is as large as the settings'.
  [[nodiscard]] bool takes_shared_frames() const;

 private:
  // False: send the message as it is; what is in `payload` then means nothing.
  bool compress(std::string_view message, std::string& payload);

  bool context_takeover_;
  std::uint8_t window_bits_;  // at most the agreed ones and the settings'
  DeflateScratch& scratch_;
  std::unique_ptr<Deflater> deflater_;  // with context takeover, from the first message on
};

// One complete unmasked frame with RSV1, which refers to no other message: for all connections
// whose sender takes_shared_frames(). nullopt: send the plain frame, since the payload is shorter
// than threshold_bytes or compression does not make it smaller.
[[nodiscard]] std::optional<std::string> make_compressed_frame(Opcode opcode,
                                                               std::string_view payload,
                                                               DeflateScratch& scratch);

}  // namespace trunkline::ws
