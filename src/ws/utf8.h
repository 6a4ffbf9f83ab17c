// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace trunkline::ws {

// UTF-8 (RFC 3629) in pieces: fails in the piece with the first byte that cannot be part of a valid
// text. Long pieces go to simdjson, short ones and the ends of long ones byte by byte.
class Utf8Checker {
 public:
  // False when there is a bad byte; nothing may follow then.
  [[nodiscard]] bool feed(std::string_view bytes);

  // Whether the text may end here.
  [[nodiscard]] bool is_complete() const { return needed_ == 0; }

  void reset() { *this = Utf8Checker{}; }

 private:
  // Takes the first byte of a character of several bytes.
  bool begin_character(std::uint8_t lead);
  bool feed_short(std::string_view bytes);

  std::uint8_t needed_ = 0;  // continuation bytes still to come
  std::uint8_t low_ = 0x80;  // what the next one may be
  std::uint8_t high_ = 0xBF;
};

}  // namespace trunkline::ws
