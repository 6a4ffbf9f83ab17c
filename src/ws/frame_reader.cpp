// SPDX-License-Identifier: Apache-2.0
#include "ws/frame_reader.h"

#include "ws/utf8.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::ws {

struct FrameReader::Header {
  bool fin = false;
  bool masked = false;
  bool compressed = false;  // RSV1
  Opcode opcode = Opcode::kContinuation;
  MaskingKey key{};
  std::uint64_t payload_bytes = 0;
  std::size_t size = 0;  // of the header; 0: incomplete
};

namespace {

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

bool is_control(Opcode opcode) {
  return (static_cast<std::uint8_t>(opcode) & 0x8U) != 0;
}

std::unexpected<Error> violation(std::string what) {
  return fail(ErrorCode::kProtocolError, std::move(what));
}

// RSV1 belongs to permessage-deflate, on the first frame of a data message only (RFC 7692, section
// 6).
Result<void> check_reserved_bits(std::uint8_t first, bool deflate) {
  if ((first & 0x30U) != 0 || !deflate) {
    return violation("a reserved bit is set without an extension");
  }
  const auto opcode = static_cast<Opcode>(first & 0xFU);
  if (opcode != Opcode::kText && opcode != Opcode::kBinary) {
    return violation("RSV1 is set on a continuation or control frame");
  }
  return {};
}

// The rules of section 5.2 that the first two bytes decide.
Result<void> check_first_bytes(std::uint8_t first, std::uint8_t second, Role role, bool deflate) {
  if ((first & 0x70U) != 0) {
    if (Result<void> good = check_reserved_bits(first, deflate); !good.has_value()) {
      return good;
    }
  }
  const std::uint8_t opcode = first & 0xFU;
  if ((opcode > 0x2 && opcode < 0x8) || opcode > 0xA) {
    return violation(fmt::format("opcode {} is reserved", opcode));
  }
  const bool masked = (second & 0x80U) != 0;
  if (masked != (role == Role::kServer)) {
    return violation(masked ? "a server's frame is masked" : "a client's frame is not masked");
  }
  if (opcode >= 0x8) {
    if ((first & 0x80U) == 0) {
      return violation("a control frame is fragmented");
    }
    if ((second & 0x7FU) > 125) {
      return violation("a control frame is longer than 125 bytes");
    }
  }
  return {};
}

}  // namespace

// What can be refused early is refused early.
Result<FrameReader::Header> FrameReader::read_header(std::string_view bytes) const {
  const Role role = role_;
  const bool deflate = scratch_ != nullptr;
  Header header;
  if (bytes.empty()) {
    return header;
  }
  const std::uint8_t first = byte_at(bytes, 0);
  if (bytes.size() < 2) {
    // The mask bit is not known yet: judge the first byte with the one that is right.
    const Result<void> good =
        check_first_bytes(first, role == Role::kServer ? 0x80U : 0U, role, deflate);
    return good.has_value() ? Result<Header>(header) : std::unexpected(good.error());
  }
  const std::uint8_t second = byte_at(bytes, 1);
  if (const Result<void> good = check_first_bytes(first, second, role, deflate);
      !good.has_value()) {
    return std::unexpected(good.error());
  }
  const std::uint8_t length = second & 0x7FU;
  const std::size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  const std::size_t size = 2 + extended + (role == Role::kServer ? 4U : 0U);
  if (bytes.size() < size) {
    return header;
  }
  header.payload_bytes = length;
  if (extended > 0) {
    header.payload_bytes = 0;
    for (std::size_t at = 2; at < 2 + extended; ++at) {
      header.payload_bytes = (header.payload_bytes << 8U) | byte_at(bytes, at);
    }
    const bool minimal = extended == 2 ? header.payload_bytes > 125 : header.payload_bytes > 0xFFFF;
    if (!minimal) {
      return violation("a length is not encoded in the fewest bytes");
    }
    if ((header.payload_bytes >> 63U) != 0) {
      return violation("a length has its most significant bit set");
    }
  }
  header.fin = (first & 0x80U) != 0;
  header.compressed = (first & 0x40U) != 0;
  header.opcode = static_cast<Opcode>(first & 0xFU);
  header.masked = role == Role::kServer;
  if (header.masked) {
    for (std::size_t i = 0; i < 4; ++i) {
      header.key[i] = byte_at(bytes, size - 4 + i);
    }
  }
  header.size = size;
  return header;
}

// What is kept between reads while a frame or a message is unfinished.
struct FrameReader::Partial {
  std::string header;  // bytes of an incomplete header
  bool in_frame = false;
  Header frame;                  // valid when in_frame
  std::uint64_t frame_seen = 0;  // payload bytes of it that came
  bool in_message = false;       // a data message has begun
  bool text = false;
  std::uint64_t compressed_bytes = 0;  // of the compressed message, in all its frames that began
  std::unique_ptr<Inflater> inflater;  // while the message is a compressed one
  Utf8Checker utf8;
  std::vector<char> message;  // payload of the data message so far, inflated
  std::vector<char> control;  // payload of the control frame so far
};

FrameReader::FrameReader(Role role, ReaderLimits limits) : role_(role), limits_(limits) {
  static_assert(sizeof(FrameReader) <= 48);
}

FrameReader::FrameReader(FrameReader&&) noexcept = default;
FrameReader& FrameReader::operator=(FrameReader&&) noexcept = default;
FrameReader::~FrameReader() = default;

std::size_t FrameReader::buffered_bytes() const {
  return partial_ ? partial_->header.size() + partial_->message.size() + partial_->control.size()
                  : 0;
}

namespace {

// Hands out a finished control frame. False: stop.
Result<bool> deliver_control(Opcode opcode, std::string_view payload, MessageHandler& handler) {
  if (opcode == Opcode::kPing) {
    return handler.on_ping(payload);
  }
  if (opcode == Opcode::kPong) {
    return handler.on_pong(payload);
  }
  if (payload.empty()) {
    handler.on_close(kCloseNoStatus, {});
    return false;
  }
  if (payload.size() == 1) {
    return violation("a Close frame with one byte");
  }
  const auto code = static_cast<CloseCode>((byte_at(payload, 0) << 8U) | byte_at(payload, 1));
  if (!may_be_sent(code)) {
    return violation(fmt::format("close code {} may not be sent", code));
  }
  const std::string_view reason = payload.substr(2);
  if (!simdjson::validate_utf8(reason.data(), reason.size())) {
    return fail(ErrorCode::kInvalidPayload, "a close reason is not UTF-8");
  }
  handler.on_close(code, reason);
  return false;
}

}  // namespace

Result<void> FrameReader::read(std::span<char> bytes, MessageHandler& handler) {
  while (!bytes.empty() && !stopped_) {
    const bool in_frame = partial_ && partial_->in_frame;
    const Result<std::size_t> used =
        in_frame ? continue_frame(bytes, handler) : begin_frame(bytes, handler);
    if (!used.has_value()) {
      stopped_ = true;
      partial_.reset();
      return std::unexpected(used.error());
    }
    bytes = bytes.subspan(*used);
  }
  if (stopped_) {
    // A Close or a stop may come inside a fragmented message, which nobody will finish.
    partial_.reset();
  }
  return {};
}

FrameReader::Partial& FrameReader::need_partial() {
  if (!partial_) {
    partial_ = std::make_unique<Partial>();
  }
  return *partial_;
}

Result<void> FrameReader::check_order(const Header& header) const {
  if (is_control(header.opcode)) {
    return {};
  }
  const bool continuation = header.opcode == Opcode::kContinuation;
  const bool in_message = partial_ && partial_->in_message;
  if (continuation && !in_message) {
    return violation("a continuation without a message");
  }
  if (!continuation && in_message) {
    return violation("a new message inside a fragmented one");
  }
  if (header.payload_bytes > payload_bytes_left(header)) {
    return fail(ErrorCode::kMessageTooBig,
                fmt::format("message larger than {} bytes", limits_.message_bytes_max));
  }
  return {};
}

std::uint64_t FrameReader::payload_bytes_left(const Header& header) const {
  const bool in_message = partial_ && partial_->in_message;
  const std::uint64_t limit = limits_.message_bytes_max;
  if (!header.compressed && !(in_message && partial_->inflater)) {
    return limit - (in_message ? partial_->message.size() : 0);
  }
  // Inflating has a limit of its own; this one is for what inflates to nothing.
  const std::uint64_t compressed_limit = limit < (1ULL << 62U) ? 2 * limit + 1024 : limit;
  return compressed_limit - (in_message ? partial_->compressed_bytes : 0);
}

Result<std::size_t> FrameReader::begin_frame(std::span<char> bytes, MessageHandler& handler) {
  std::string_view view(bytes.data(), bytes.size());
  std::size_t held = 0;
  std::string joined;
  if (partial_ && !partial_->header.empty()) {
    held = partial_->header.size();
    joined = partial_->header + std::string(view.substr(0, kFrameHeaderBytesMax));
    view = joined;
  }
  const Result<Header> header = read_header(view);
  if (!header.has_value()) {
    return std::unexpected(header.error());
  }
  if (header->size == 0) {
    need_partial().header.assign(view);
    return bytes.size();
  }
  const bool control = is_control(header->opcode);
  const bool continuation = header->opcode == Opcode::kContinuation;
  if (const auto good = check_order(*header); !good.has_value()) {
    return std::unexpected(good.error());
  }
  const std::size_t used = header->size - held;
  const bool in_message = partial_ && partial_->in_message;
  if (!control && header->fin && !in_message && bytes.size() - used >= header->payload_bytes) {
    // The usual case: a whole message in the caller's buffer, which is handed out as it is.
    const std::span<char> message = bytes.subspan(used, header->payload_bytes);
    partial_.reset();
    const Result<void> delivered = header->compressed ? deliver_inflated(*header, message, handler)
                                                      : deliver_whole(*header, message, handler);
    return delivered.has_value() ? Result<std::size_t>(used + message.size())
                                 : std::unexpected(delivered.error());
  }
  Partial& partial = need_partial();
  partial.header.clear();
  partial.in_frame = true;
  partial.frame = *header;
  partial.frame_seen = 0;
  if (!control && !continuation) {
    partial.in_message = true;
    partial.text = header->opcode == Opcode::kText;
    partial.utf8.reset();
    partial.compressed_bytes = 0;
    if (header->compressed) {
      partial.inflater = take_inflater();
    }
  }
  if (!control && partial.inflater) {
    partial.compressed_bytes += header->payload_bytes;
  }
  if (header->payload_bytes == 0) {
    if (const auto finished = finish_frame(handler); !finished.has_value()) {
      return std::unexpected(finished.error());
    }
  }
  return used;
}

Result<void> FrameReader::deliver_whole(const Header& header, std::span<char> message,
                                        MessageHandler& handler) {
  if (header.masked) {
    apply_mask(message, header.key);
  }
  const bool text = header.opcode == Opcode::kText;
  if (text && !simdjson::validate_utf8(message.data(), message.size())) {
    return fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8");
  }
  const bool go_on = text ? handler.on_text(message) : handler.on_binary(message);
  stopped_ = stopped_ || !go_on;
  return {};
}

// The usual case of a compressed message: a buffer and a state that all connections share.
Result<void> FrameReader::deliver_inflated(const Header& header, std::span<char> payload,
                                           MessageHandler& handler) {
  if (header.masked) {
    apply_mask(payload, header.key);
  }
  std::vector<char> message = scratch_->borrow_buffer();
  std::unique_ptr<Inflater> inflater = take_inflater();
  Result<void> inflated =
      inflater->inflate({payload.data(), payload.size()}, message, limits_.message_bytes_max);
  if (inflated.has_value()) {
    inflated = inflater->finish(message, limits_.message_bytes_max);
  }
  const std::size_t size = message.size();
  const bool text = header.opcode == Opcode::kText;
  if (!inflated.has_value()) {
    // A bad byte before the end of the limit comes first, as it does when the message comes in
    // pieces.
    return text && !Utf8Checker{}.feed({message.data(), size})
               ? fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8")
               : inflated;
  }
  put_back(std::move(inflater));
  message.resize(size + kMessagePadding);
  const std::span<char> whole(message.data(), size);
  if (text && !simdjson::validate_utf8(whole.data(), whole.size())) {
    return fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8");
  }
  const bool go_on = text ? handler.on_text(whole) : handler.on_binary(whole);
  stopped_ = stopped_ || !go_on;
  scratch_->give_back(std::move(message));
  return {};
}

void FrameReader::use_deflate(const DeflateParameters& agreed, DeflateScratch& scratch) {
  const bool from_client = role_ == Role::kServer;
  context_takeover_ =
      !(from_client ? agreed.client_no_context_takeover : agreed.server_no_context_takeover);
  window_bits_ = from_client ? agreed.client_max_window_bits : agreed.server_max_window_bits;
  scratch_ = &scratch;
}

std::unique_ptr<Inflater> FrameReader::take_inflater() {
  if (!context_takeover_) {
    return scratch_->borrow_inflater();
  }
  return inflater_ ? std::move(inflater_)
                   : std::make_unique<Inflater>(window_bits_, &scratch_->state_bytes());
}

void FrameReader::put_back(std::unique_ptr<Inflater> inflater) {
  if (context_takeover_) {
    inflater_ = std::move(inflater);
  } else {
    scratch_->give_back(std::move(inflater));
  }
}

Result<std::size_t> FrameReader::continue_frame(std::span<char> bytes, MessageHandler& handler) {
  Partial& partial = *partial_;
  const std::uint64_t left = partial.frame.payload_bytes - partial.frame_seen;
  const std::span<char> chunk = bytes.first(std::min<std::uint64_t>(left, bytes.size()));
  if (partial.frame.masked) {
    apply_mask(chunk, partial.frame.key, partial.frame_seen);
  }
  partial.frame_seen += chunk.size();
  if (is_control(partial.frame.opcode)) {
    partial.control.insert(partial.control.end(), chunk.begin(), chunk.end());
  } else if (const auto taken = partial.inflater ? append_inflated(chunk) : append(chunk);
             !taken.has_value()) {
    return std::unexpected(taken.error());
  }
  if (partial.frame_seen == partial.frame.payload_bytes) {
    if (const auto finished = finish_frame(handler); !finished.has_value()) {
      return std::unexpected(finished.error());
    }
  }
  return chunk.size();
}

Result<void> FrameReader::append(std::span<char> chunk) {
  Partial& partial = *partial_;
  if (partial.text && !partial.utf8.feed({chunk.data(), chunk.size()})) {
    return fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8");
  }
  partial.message.insert(partial.message.end(), chunk.begin(), chunk.end());
  return {};
}

Result<void> FrameReader::append_inflated(std::span<char> chunk) {
  Partial& partial = *partial_;
  const std::size_t held = partial.message.size();
  const Result<void> inflated = partial.inflater->inflate(
      {chunk.data(), chunk.size()}, partial.message, limits_.message_bytes_max);
  const std::string_view grown(partial.message.data() + held, partial.message.size() - held);
  if (partial.text && !partial.utf8.feed(grown)) {
    return fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8");
  }
  return inflated;
}

Result<void> FrameReader::finish_inflating() {
  Partial& partial = *partial_;
  const std::size_t held = partial.message.size();
  const Result<void> finished =
      partial.inflater->finish(partial.message, limits_.message_bytes_max);
  const std::string_view grown(partial.message.data() + held, partial.message.size() - held);
  if (partial.text && !partial.utf8.feed(grown)) {
    return fail(ErrorCode::kInvalidPayload, "a text message is not UTF-8");
  }
  if (finished.has_value()) {
    put_back(std::move(partial.inflater));
  }
  return finished;
}

Result<void> FrameReader::finish_control(MessageHandler& handler) {
  const std::vector<char> payload = std::exchange(partial_->control, {});
  const Opcode opcode = partial_->frame.opcode;
  if (!partial_->in_message) {
    partial_.reset();
  }
  const Result<bool> go_on = deliver_control(opcode, {payload.data(), payload.size()}, handler);
  if (!go_on.has_value()) {
    return std::unexpected(go_on.error());
  }
  stopped_ = stopped_ || !*go_on;
  return {};
}

Result<void> FrameReader::finish_frame(MessageHandler& handler) {
  Partial& partial = *partial_;
  partial.in_frame = false;
  if (is_control(partial.frame.opcode)) {
    return finish_control(handler);
  }
  if (!partial.frame.fin) {
    return {};
  }
  if (partial.inflater) {
    if (const auto finished = finish_inflating(); !finished.has_value()) {
      return finished;
    }
  }
  if (partial.text && !partial.utf8.is_complete()) {
    return fail(ErrorCode::kInvalidPayload, "a text message ends inside a character");
  }
  std::vector<char> message = std::move(partial.message);
  const bool text = partial.text;
  partial_.reset();
  const std::size_t size = message.size();
  message.resize(size + kMessagePadding);
  const std::span<char> whole(message.data(), size);
  const bool go_on = text ? handler.on_text(whole) : handler.on_binary(whole);
  stopped_ = stopped_ || !go_on;
  return {};
}

}  // namespace trunkline::ws
