// SPDX-License-Identifier: Apache-2.0
#include "grid/wire.h"

#include "core/assert.h"
#include "grid/bytes.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <limits>

namespace trunkline::grid {

namespace {

constexpr unsigned kFlagMore = 1U << 0U;
constexpr unsigned kFlagName = 1U << 1U;
constexpr unsigned kPriorityShift = 2;
constexpr unsigned kFlagPriority = 3U << kPriorityShift;
constexpr unsigned kFlagNotRun = 1U << 4U;

// What stands behind the header of a type, and which flags it may have. One row a type, in the
// order of their numbers.
struct Shape {
  std::string_view name;
  unsigned flags = 0;
  bool has_deadline = false;
  bool has_value = false;
  bool has_application = false;
  bool has_total = false;  // when MORE is set
  bool has_payload = false;
  bool has_number = false;
  bool on_connection = false;  // id 0 is allowed
  bool on_call = true;         // another id is allowed
};

constexpr std::array<Shape, 13> kShapes = {{
    {.name = "none"},
    {.name = "request",
     .flags = kFlagMore | kFlagName | kFlagPriority,
     .has_deadline = true,
     .has_total = true,
     .has_payload = true,
     .has_number = true},
    {.name = "open",
     .flags = kFlagMore | kFlagName | kFlagPriority,
     .has_deadline = true,
     .has_value = true,
     .has_total = true,
     .has_payload = true,
     .has_number = true},
    {.name = "response", .flags = kFlagMore, .has_total = true, .has_payload = true},
    {.name = "data", .flags = kFlagMore, .has_total = true, .has_payload = true},
    {.name = "chunk", .flags = kFlagMore, .has_payload = true},
    {.name = "end", .has_value = true},
    {.name = "failure",
     .flags = kFlagNotRun,
     .has_value = true,
     .has_application = true,
     .has_payload = true,
     .has_number = true},
    {.name = "cancel", .has_value = true, .has_number = true},
    {.name = "credit", .has_value = true, .on_connection = true},
    {.name = "ping", .has_value = true, .on_connection = true, .on_call = false},
    {.name = "pong", .has_value = true, .on_connection = true, .on_call = false},
    {.name = "goaway",
     .has_payload = true,
     .has_number = true,
     .on_connection = true,
     .on_call = false},
}};

const Shape& shape_of(MessageType type) {
  return kShapes[static_cast<std::size_t>(type)];
}

unsigned flags_of(const Message& message) {
  return (message.more ? kFlagMore : 0U) | (message.has_name ? kFlagName : 0U) |
         (static_cast<unsigned>(message.priority) << kPriorityShift) |
         (message.not_run ? kFlagNotRun : 0U);
}

Result<void> check_header(std::uint8_t type, unsigned flags, const Message& message) {
  if (type == 0 || type >= kShapes.size()) {
    return broken(fmt::format("grid message of type {}", type));
  }
  const Shape& shape = kShapes[type];
  if ((flags & ~shape.flags) != 0) {
    return broken(fmt::format("{} with flags {:#x}", shape.name, flags));
  }
  if (!(message.id == 0 ? shape.on_connection : shape.on_call)) {
    return broken(fmt::format("{} with call id {}", shape.name, message.id));
  }
  if (message.number != 0 && !shape.has_number) {
    return broken(fmt::format("{} with number {}", shape.name, message.number));
  }
  return {};
}

}  // namespace

std::string_view name(MessageType type) {
  return shape_of(type).name;
}

std::size_t overhead_of(const Message& message) {
  const Shape& shape = shape_of(message.type);
  return kHeaderBytes + (shape.has_deadline ? 4U : 0U) + (shape.has_value ? 8U : 0U) +
         (shape.has_application ? 4U : 0U) + (message.has_name ? 2 + message.name.size() : 0U) +
         (shape.has_total && message.more ? 4U : 0U);
}

void append_message(std::string& out, const Message& message) {
  const Shape& shape = shape_of(message.type);
  TRUNKLINE_DCHECK((flags_of(message) & ~shape.flags) == 0);
  const std::size_t length = overhead_of(message) - kHeaderBytes + message.payload.size();
  TRUNKLINE_ASSERT(length <= std::numeric_limits<std::uint32_t>::max());
  // One append for the header: each looks whether there is room.
  char header[kHeaderBytes];
  std::size_t at = 0;
  put_number(header, at, static_cast<std::uint8_t>(message.type));
  put_number(header, at, static_cast<std::uint8_t>(flags_of(message)));
  put_number(header, at, message.number);
  put_number(header, at, static_cast<std::uint32_t>(length));
  put_number(header, at, message.id);
  out.append(header, at);
  if (shape.has_deadline) {
    append_number(out, message.deadline_ms);
  }
  if (shape.has_value) {
    append_number(out, message.value);
  }
  if (shape.has_application) {
    append_number(out, message.application);
  }
  if (message.has_name) {
    append_number(out, static_cast<std::uint16_t>(message.name.size()));
    out += message.name;
  }
  if (shape.has_total && message.more) {
    append_number(out, message.total);
  }
  out += message.payload;
}

Result<Message> take_message(std::string_view& bytes) {
  ByteTaker header(bytes);
  Message message;
  const auto type = header.number<std::uint8_t>();
  const unsigned flags = header.number<std::uint8_t>();
  message.number = header.number<std::uint16_t>();
  const auto length = header.number<std::uint32_t>();
  message.id = header.number<std::uint64_t>();
  ByteTaker body(header.text(length));
  if (header.is_short()) {
    return broken(fmt::format("a message is cut short: {} bytes are left", bytes.size()));
  }
  if (const Result<void> checked = check_header(type, flags, message); !checked.has_value()) {
    return std::unexpected(checked.error());
  }
  message.type = static_cast<MessageType>(type);
  message.more = (flags & kFlagMore) != 0;
  message.has_name = (flags & kFlagName) != 0;
  message.priority = static_cast<Priority>((flags & kFlagPriority) >> kPriorityShift);
  message.not_run = (flags & kFlagNotRun) != 0;
  const Shape& shape = kShapes[type];
  message.deadline_ms = shape.has_deadline ? body.number<std::uint32_t>() : 0;
  message.value = shape.has_value ? body.number<std::uint64_t>() : 0;
  message.application = shape.has_application ? body.number<std::uint32_t>() : 0;
  message.name = message.has_name ? body.text(body.number<std::uint16_t>()) : std::string_view{};
  const bool has_total = shape.has_total && message.more;
  message.total = has_total ? body.number<std::uint32_t>() : 0;
  message.payload = body.rest();
  if (body.is_short()) {
    return broken(fmt::format("{} of {} bytes is too short for its fields", shape.name, length));
  }
  if (!shape.has_payload && !message.payload.empty()) {
    return broken(fmt::format("{} with {} bytes too many", shape.name, message.payload.size()));
  }
  if (message.has_name && (message.name.empty() || message.name.size() > kNameBytesMax)) {
    return broken(fmt::format("a handler's name of {} bytes", message.name.size()));
  }
  if (has_total && message.total <= message.payload.size()) {
    return broken(fmt::format("{} of {} bytes says that it is cut and has {} already", shape.name,
                              message.total, message.payload.size()));
  }
  bytes = header.rest();
  return message;
}

void append_checksum(std::string& frame, std::size_t begin) {
  const std::string_view covered = std::string_view(frame).substr(begin);
  append_number(frame, static_cast<std::uint32_t>(crc32_z(
                           0, reinterpret_cast<const Bytef*>(covered.data()), covered.size())));
}

Result<std::string_view> check_checksum(std::string_view frame) {
  if (frame.size() < kChecksumBytes) {
    return broken("a frame without its checksum");
  }
  const std::string_view covered = frame.substr(0, frame.size() - kChecksumBytes);
  const auto said = ByteTaker(frame.substr(covered.size())).number<std::uint32_t>();
  if (said != static_cast<std::uint32_t>(
                  crc32_z(0, reinterpret_cast<const Bytef*>(covered.data()), covered.size()))) {
    return broken(fmt::format("a frame of {} bytes does not match its checksum", frame.size()));
  }
  return covered;
}

}  // namespace trunkline::grid
