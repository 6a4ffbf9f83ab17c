// SPDX-License-Identifier: Apache-2.0
//
// Little-endian numbers and lengths, written to and taken from text. A taker that has run short
// stays short: one question at the end is enough.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace trunkline::grid {

// Behind what is there; `at` moves on. There must be room.
template <std::unsigned_integral T>
void put_number(char* out, std::size_t& at, T value) {
  if constexpr (std::endian::native == std::endian::big) {
    value = std::byteswap(value);
  }
  std::memcpy(out + at, &value, sizeof(T));
  at += sizeof(T);
}

template <std::unsigned_integral T>
void append_number(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::size_t at = 0;
  put_number(bytes, at, value);
  out.append(bytes, sizeof(T));
}

class ByteTaker {
 public:
  explicit ByteTaker(std::string_view bytes) : rest_(bytes) {}

  // 0 when there are not enough.
  template <std::unsigned_integral T>
  T number() {
    T value = 0;
    if (const std::string_view taken = text(sizeof(T)); taken.size() == sizeof(T)) {
      taken.copy(reinterpret_cast<char*>(&value), sizeof(T));
      if constexpr (std::endian::native == std::endian::big) {
        value = std::byteswap(value);
      }
    }
    return value;
  }

  // Empty when there are not enough.
  std::string_view text(std::size_t bytes) {
    if (bytes > rest_.size()) {
      is_short_ = true;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  // What is left.
  [[nodiscard]] std::string_view rest() const { return rest_; }

  // More was asked for than there was.
  [[nodiscard]] bool is_short() const { return is_short_; }

 private:
  std::string_view rest_;
  bool is_short_ = false;
};

}  // namespace trunkline::grid
