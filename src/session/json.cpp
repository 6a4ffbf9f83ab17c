// SPDX-License-Identifier: Apache-2.0
#include "session/json.h"

#include <charconv>

namespace trunkline::session {

JsonText& JsonText::string(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  out_ += '"';
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      out_ += '\\';
      out_ += letter;
    } else if (byte < 0x20) {
      out_ += "\\u00";
      out_ += kHex[byte >> 4U];
      out_ += kHex[byte & 0xfU];
    } else {
      out_ += letter;
    }
  }
  out_ += '"';
  first_ = false;
  return *this;
}

JsonText& JsonText::number(std::uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
  out_.append(std::begin(digits), end);
  first_ = false;
  return *this;
}

JsonText& JsonText::member(std::string_view name) {
  if (!first_) {
    out_ += ',';
  }
  first_ = false;
  out_ += '"';
  out_ += name;
  out_ += "\":";
  return *this;
}

std::string json_string(std::string_view text) {
  JsonText json;
  json.string(text);
  return json.take();
}

}  // namespace trunkline::session
