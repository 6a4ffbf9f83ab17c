// SPDX-License-Identifier: Apache-2.0
#include "session/json_check.h"

#include <cstddef>

namespace trunkline::session {

namespace {

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

bool is_hex(char letter) {
  return is_digit(letter) || (letter >= 'a' && letter <= 'f') || (letter >= 'A' && letter <= 'F');
}

// Skips digits from `at`; false when there is none.
bool skip_digits(std::string_view token, std::size_t& at) {
  const std::size_t begin = at;
  while (at < token.size() && is_digit(token[at])) {
    ++at;
  }
  return at > begin;
}

}  // namespace

bool is_json_number(std::string_view token) {
  std::size_t at = 0;
  if (at < token.size() && token[at] == '-') {
    ++at;
  }
  const std::size_t integer = at;
  if (!skip_digits(token, at) || (token[integer] == '0' && at > integer + 1)) {
    return false;
  }
  if (at < token.size() && token[at] == '.') {
    ++at;
    if (!skip_digits(token, at)) {
      return false;
    }
  }
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) {
      ++at;
    }
    if (!skip_digits(token, at)) {
      return false;
    }
  }
  return at == token.size();
}

bool has_valid_escapes(std::string_view token) {
  for (std::size_t at = token.find('\\'); at != std::string_view::npos; at = token.find('\\', at)) {
    if (at + 1 >= token.size()) {
      return false;
    }
    if (token[at + 1] == 'u') {
      for (std::size_t digit = at + 2; digit < at + 6; ++digit) {
        if (digit >= token.size() || !is_hex(token[digit])) {
          return false;
        }
      }
      at += 6;
      continue;
    }
    if (std::string_view("\"\\/bfnrt").find(token[at + 1]) == std::string_view::npos) {
      return false;
    }
    at += 2;
  }
  return true;
}

}  // namespace trunkline::session
