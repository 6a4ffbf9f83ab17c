// SPDX-License-Identifier: Apache-2.0
#include "ws/utf8.h"

namespace trunkline::ws {

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
    } else if (byte >= 0x80) {
      // The ranges of RFC 3629, section 4: no overlong forms, no surrogates, nothing above
      // U+10FFFF.
      if (byte < 0xC2 || byte > 0xF4) {
        return false;
      }
      needed_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
      low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
      high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    }
  }
  return true;
}

}  // namespace trunkline::ws
