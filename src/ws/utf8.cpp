// SPDX-License-Identifier: Apache-2.0
#include "ws/utf8.h"

namespace trunkline::ws {

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

bool Utf8Checker::feed(std::string_view bytes) {
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

}  // namespace trunkline::ws
