// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace trunkline::ws {

// UTF-8 (RFC 3629) in pieces: fails at the first byte that cannot be part of a valid text.
class Utf8Checker {
 public:
  // False at the first bad byte; nothing may follow then.
  [[nodiscard]] bool feed(std::string_view bytes);

  // Whether the text may end here.
  [[nodiscard]] bool is_complete() const { return needed_ == 0; }

  void reset() { *this = Utf8Checker{}; }

 private:
  // Takes the first byte of a character of several bytes.
  bool begin_character(std::uint8_t lead);

  std::uint8_t needed_ = 0;  // continuation bytes still to come
  std::uint8_t low_ = 0x80;  // what the next one may be
  std::uint8_t high_ = 0xBF;
};

}  // namespace trunkline::ws
