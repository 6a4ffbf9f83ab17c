// SPDX-License-Identifier: Apache-2.0
#include "ws/utf8.h"

#include <simdjson.h>

namespace trunkline::ws {

namespace {

// From here on simdjson is worth its call: at 24 bytes it loses a seventh, at 32 both are equal, at
// 64 it is 2.4 times as fast on mixed text and 4.5 times on ASCII.
constexpr std::size_t kWideBytesMin = 32;

bool is_continuation(char letter) {
  return (static_cast<std::uint8_t>(letter) & 0xC0U) == 0x80;
}

// Bytes without the last character, if that has several: it may go on in the next piece. Text that
// is bad there is not cut, or what is cut off is bad as well.
std::size_t before_last_character(std::string_view bytes) {
  for (std::size_t back = 1; back <= 4 && back <= bytes.size(); ++back) {
    const char letter = bytes[bytes.size() - back];
    if (!is_continuation(letter)) {
      return static_cast<std::uint8_t>(letter) < 0x80 ? bytes.size() : bytes.size() - back;
    }
  }
  return bytes.size();
}

}  // namespace

// The ranges of RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF.
bool Utf8Checker::begin_character(std::uint8_t lead) {
  if (lead < 0xC2 || lead > 0xF4) {
    return false;
  }
  needed_ = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  low_ = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  high_ = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  return true;
}

bool Utf8Checker::feed_short(std::string_view bytes) {
  for (const char letter : bytes) {
    const auto byte = static_cast<std::uint8_t>(letter);
    if (needed_ > 0) {
      if (byte < low_ || byte > high_) {
        return false;
      }
      --needed_;
      low_ = 0x80;
      high_ = 0xBF;
    } else if (byte >= 0x80 && !begin_character(byte)) {
      return false;
    }
  }
  return true;
}

bool Utf8Checker::feed(std::string_view bytes) {
  if (bytes.size() < kWideBytesMin) {
    return feed_short(bytes);
  }
  // What the piece before has left of its last character.
  const std::size_t left = needed_;
  if (left > 0 && !feed_short(bytes.substr(0, left))) {
    return false;
  }
  const std::string_view rest = bytes.substr(left);
  const std::size_t whole = before_last_character(rest);
  return simdjson::validate_utf8(rest.data(), whole) && feed_short(rest.substr(whole));
}

}  // namespace trunkline::ws
