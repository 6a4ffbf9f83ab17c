// SPDX-License-Identifier: Apache-2.0
#include "ws/deflate.h"

#include "core/assert.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace trunkline::ws {

namespace {

// What a sync flush ends with, and what is not sent (section 7.2.1).
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

// zlib counts in 32 bits.
constexpr std::size_t kPieceBytesMax = 1UL << 30U;

// Room for output a step: small messages should not pay for large ones.
constexpr std::size_t kRoomBytesMin = 1024;
constexpr std::size_t kRoomBytesMax = 64UL * 1024;

// Larger buffers are not kept for the next message.
constexpr std::size_t kKeptBytesMax = 1024UL * 1024;

const Bytef* bytes_of(std::string_view text) {
  return reinterpret_cast<const Bytef*>(text.data());
}

// In front of what zlib is given: its size, which zlib does not tell when it frees.
constexpr std::size_t kSizeBytes = alignof(std::max_align_t);

voidpf allocate(voidpf account, uInt items, uInt bytes_each) {
  const std::size_t bytes = kSizeBytes + static_cast<std::size_t>(items) * bytes_each;
  void* block = std::malloc(bytes);
  if (block == nullptr) {
    return Z_NULL;
  }
  std::memcpy(block, &bytes, sizeof(bytes));
  *static_cast<ZlibBytes*>(account) += bytes;
  return static_cast<std::byte*>(block) + kSizeBytes;
}

void release(voidpf account, voidpf address) {
  std::byte* block = static_cast<std::byte*>(address) - kSizeBytes;
  std::size_t bytes = 0;
  std::memcpy(&bytes, block, sizeof(bytes));
  *static_cast<ZlibBytes*>(account) -= bytes;
  std::free(block);
}

void count_in(z_stream& stream, ZlibBytes* account) {
  if (account != nullptr) {
    stream.zalloc = allocate;
    stream.zfree = release;
    stream.opaque = account;
  }
}

}  // namespace

// zlib's, which stay out of the header.
struct Deflater::Stream : z_stream {};

struct Inflater::Stream : z_stream {};

Deflater::Deflater(const CompressionSettings& settings, std::uint8_t window_bits,
                   ZlibBytes* account)
    : stream_(std::make_unique<Stream>()) {
  count_in(*stream_, account);
  const int bits =
      std::clamp(std::min(settings.window_bits, window_bits), kWindowBitsMin, kWindowBitsMax);
  // zlib takes 8 for 9 or refuses it. Runs have a distance of 1, whatever the window.
  const int strategy = bits == kWindowBitsMin ? Z_RLE : Z_DEFAULT_STRATEGY;
  const int status =
      deflateInit2(stream_.get(), std::clamp(settings.level, 0, 9), Z_DEFLATED, -std::max(bits, 9),
                   std::clamp(settings.memory_level, 1, 9), strategy);
  TRUNKLINE_ASSERT(status == Z_OK);  // else there is no memory
}

Deflater::~Deflater() {
  deflateEnd(stream_.get());
}

void Deflater::compress(std::string_view message, std::string& payload) {
  payload.clear();
  if (message.empty()) {
    // Section 7.2.3.6. Not zlib's: it writes nothing for a second flush without input between.
    payload.assign(1, '\0');
    return;
  }
  for (; message.size() > kPieceBytesMax; message.remove_prefix(kPieceBytesMax)) {
    run(message.substr(0, kPieceBytesMax), Z_NO_FLUSH, payload);
  }
  run(message, Z_SYNC_FLUSH, payload);
  TRUNKLINE_ASSERT(payload.ends_with(kTail));
  payload.resize(payload.size() - kTail.size());
}

// Loops until zlib leaves room: deflateBound is no bound for a sync flush (of 70,000 random bytes
// it is exceeded by 2).
void Deflater::run(std::string_view piece, int flush, std::string& payload) {
  stream_->next_in = bytes_of(piece);
  stream_->avail_in = static_cast<uInt>(piece.size());
  do {
    const std::size_t size = payload.size();
    const std::size_t room = std::clamp(piece.size(), kRoomBytesMin, kRoomBytesMax);
    payload.resize(size + room);
    stream_->next_out = reinterpret_cast<Bytef*>(payload.data() + size);
    stream_->avail_out = static_cast<uInt>(room);
    const int status = deflate(stream_.get(), flush);
    TRUNKLINE_ASSERT(status == Z_OK || status == Z_BUF_ERROR);
    payload.resize(size + room - stream_->avail_out);
  } while (stream_->avail_out == 0);
}

void Deflater::reset() {
  deflateReset(stream_.get());
}

Inflater::Inflater(std::uint8_t window_bits, ZlibBytes* account)
    : stream_(std::make_unique<Stream>()) {
  count_in(*stream_, account);
  const int status =
      inflateInit2(stream_.get(), -int{std::clamp(window_bits, kWindowBitsMin, kWindowBitsMax)});
  TRUNKLINE_ASSERT(status == Z_OK);  // else there is no memory
}

Inflater::~Inflater() {
  inflateEnd(stream_.get());
}

Result<void> Inflater::inflate(std::string_view piece, std::vector<char>& message,
                               std::size_t bytes_max) {
  message_began_ = message_began_ || !piece.empty();
  for (; piece.size() > kPieceBytesMax; piece.remove_prefix(kPieceBytesMax)) {
    const Result<void> done = run(piece.substr(0, kPieceBytesMax), message, bytes_max);
    if (!done.has_value()) {
      return done;
    }
  }
  return piece.empty() ? Result<void>() : run(piece, message, bytes_max);
}

Result<void> Inflater::run(std::string_view piece, std::vector<char>& message,
                           std::size_t bytes_max) {
  stream_->next_in = bytes_of(piece);
  stream_->avail_in = static_cast<uInt>(piece.size());
  std::size_t size = message.size();
  Result<void> result;
  do {
    if (stream_ended_) {
      begin_stream();
    }
    // Room that is left from the step before is used up first: it was filled with zeros, and a step
    // may take as little as two bytes, an empty block with BFINAL.
    if (size == message.size()) {
      // One byte more than allowed, so that a message of just bytes_max ends and a longer one
      // shows.
      const std::size_t guess = 4 * std::size_t{stream_->avail_in};
      message.resize(
          size + std::min(std::clamp(guess, kRoomBytesMin, kRoomBytesMax), bytes_max - size) + 1);
    }
    stream_->next_out = reinterpret_cast<Bytef*>(message.data() + size);
    stream_->avail_out = static_cast<uInt>(message.size() - size);
    const int status = ::inflate(stream_.get(), Z_SYNC_FLUSH);
    size = message.size() - stream_->avail_out;
    stream_ended_ = status == Z_STREAM_END;
    if (size > bytes_max) {
      size = bytes_max;
      result =
          fail(ErrorCode::kMessageTooBig, fmt::format("message larger than {} bytes", bytes_max));
    } else if (status == Z_DATA_ERROR) {
      result = fail(ErrorCode::kInvalidPayload,
                    fmt::format("a compressed message is not deflate: {}", stream_->msg));
    } else {
      // Z_BUF_ERROR: no input and nothing pending.
      TRUNKLINE_ASSERT(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR);
    }
  } while (result.has_value() && more_to_do());
  message.resize(size);
  return result;
}

// A full buffer may leave output pending, unless the stream has ended.
bool Inflater::more_to_do() const {
  return stream_->avail_in > 0 || (stream_->avail_out == 0 && !stream_ended_);
}

// Goes on behind a block with BFINAL, with the window as it is. Copying the window out and in again
// (inflateGetDictionary, inflateSetDictionary) would let two bytes of a peer cost 64 KiB of
// copying.
void Inflater::begin_stream() {
  const int status = inflateResetKeep(stream_.get());
  TRUNKLINE_ASSERT(status == Z_OK);
  stream_ended_ = false;
}

Result<void> Inflater::finish(std::vector<char>& message, std::size_t bytes_max) {
  // A payload of no bytes at all is what zlib gives those who flush it twice and strip the tail:
  // an empty message. A payload that ended with BFINAL needs no tail and leaves it no meaning.
  if (std::exchange(message_began_, false) && !stream_ended_) {
    if (const Result<void> done = run(kTail, message, bytes_max); !done.has_value()) {
      return done;
    }
    // data_type: 128 right behind a block, in the lower bits how many of a byte are left.
    const auto place = static_cast<unsigned>(stream_->data_type);
    if (!stream_ended_ && ((place & 128U) == 0 || (place & 63U) != 0)) {
      return fail(ErrorCode::kInvalidPayload, "a compressed message ends inside a block");
    }
  }
  if (stream_ended_) {
    begin_stream();
  }
  return {};
}

void Inflater::reset() {
  const int status = inflateReset(stream_.get());
  TRUNKLINE_ASSERT(status == Z_OK);
  message_began_ = false;
  stream_ended_ = false;
}

Deflater& DeflateScratch::deflater(std::uint8_t window_bits) {
  const std::uint8_t bits = std::clamp(window_bits, kWindowBitsMin, kWindowBitsMax);
  std::unique_ptr<Deflater>& deflater = deflaters_[bits - kWindowBitsMin];
  if (deflater) {
    deflater->reset();
  } else {
    deflater = std::make_unique<Deflater>(settings_, bits, &state_bytes_);
  }
  return *deflater;
}

std::unique_ptr<Inflater> DeflateScratch::borrow_inflater() {
  // The largest window takes what smaller ones do, and it is not kept a connection.
  return inflater_ ? std::move(inflater_)
                   : std::make_unique<Inflater>(kWindowBitsMax, &state_bytes_);
}

void DeflateScratch::give_back(std::unique_ptr<Inflater> inflater) {
  inflater->reset();
  inflater_ = std::move(inflater);
}

std::vector<char> DeflateScratch::borrow_buffer() {
  return std::exchange(buffer_, {});
}

void DeflateScratch::give_back(std::vector<char> buffer) {
  if (buffer.capacity() <= kKeptBytesMax) {
    buffer.clear();
    buffer_ = std::move(buffer);
  }
}

std::string DeflateScratch::borrow_payload() {
  return std::exchange(payload_, {});
}

void DeflateScratch::give_back(std::string payload) {
  if (payload.capacity() <= kKeptBytesMax) {
    payload_ = std::move(payload);
  }
}

DeflateSender::DeflateSender(Role role, const DeflateParameters& agreed, DeflateScratch& scratch)
    : context_takeover_(role == Role::kServer ? !agreed.server_no_context_takeover
                                              : !agreed.client_no_context_takeover),
      window_bits_(std::min(scratch.settings().window_bits, role == Role::kServer
                                                                ? agreed.server_max_window_bits
                                                                : agreed.client_max_window_bits)),
      scratch_(scratch) {}

bool DeflateSender::compress(std::string_view message, std::string& payload) {
  if (message.size() < scratch_.settings().threshold_bytes) {
    return false;
  }
  if (context_takeover_) {
    if (!deflater_) {
      deflater_ =
          std::make_unique<Deflater>(scratch_.settings(), window_bits_, &scratch_.state_bytes());
    }
    deflater_->compress(message, payload);
    return true;
  }
  scratch_.deflater(window_bits_).compress(message, payload);
  return payload.size() < message.size();
}

std::string DeflateSender::frame(Opcode opcode, std::string_view message) {
  std::string payload = scratch_.borrow_payload();
  std::string frame = compress(message, payload) ? make_frame(opcode, payload, Rsv1::kSet)
                                                 : make_frame(opcode, message);
  scratch_.give_back(std::move(payload));
  return frame;
}

std::string DeflateSender::masked_frame(Opcode opcode, std::string_view message, MaskingKey key) {
  std::string payload = scratch_.borrow_payload();
  std::string frame = compress(message, payload)
                          ? make_masked_frame(opcode, payload, key, Rsv1::kSet)
                          : make_masked_frame(opcode, message, key);
  scratch_.give_back(std::move(payload));
  return frame;
}

bool DeflateSender::takes_shared_frames() const {
  return !context_takeover_ && window_bits_ == std::clamp(scratch_.settings().window_bits,
                                                          kWindowBitsMin, kWindowBitsMax);
}

std::optional<std::string> make_compressed_frame(Opcode opcode, std::string_view payload,
                                                 DeflateScratch& scratch) {
  if (payload.size() < scratch.settings().threshold_bytes) {
    return std::nullopt;
  }
  std::optional<std::string> frame;
  std::string compressed = scratch.borrow_payload();
  scratch.deflater(scratch.settings().window_bits).compress(payload, compressed);
  if (compressed.size() < payload.size()) {
    frame = make_frame(opcode, compressed, Rsv1::kSet);
  }
  scratch.give_back(std::move(compressed));
  return frame;
}

}  // namespace trunkline::ws
