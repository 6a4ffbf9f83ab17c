// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <string_view>

namespace trunkline {

std::string Random::text(std::size_t length) {
  static constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string result(length, '0');
  for (char& letter : result) {
    letter = kLetters[below(kLetters.size())];
  }
  return result;
}

std::string Random::uuid() {
  static constexpr std::string_view kHex = "0123456789abcdef";
  static constexpr std::string_view kForm = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
  std::string result(kForm);
  std::uint64_t bits = 0;
  unsigned left = 0;
  for (char& letter : result) {
    if (letter == '-' || letter == '4') {
      continue;
    }
    if (left == 0) {
      bits = next();
      left = 16;
    }
    const std::uint64_t nibble = bits & 0xfU;
    letter = kHex[letter == 'y' ? (8U | (nibble & 3U)) : nibble];
    bits >>= 4U;
    --left;
  }
  return result;
}

}  // namespace trunkline
