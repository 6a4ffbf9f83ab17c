// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::session {

// Writes JSON text from left to right; the caller writes the structure. Raw values (a client's
// data) are spliced in as they are: whoever let them in has checked them.
class JsonText {
 public:
  JsonText& raw(std::string_view text) {
    out_ += text;
    return *this;
  }

  // A string with its quotes, escaped by RFC 8259, section 7.
  JsonText& string(std::string_view text);
  JsonText& number(std::uint64_t value);
  // `,"name":` or, as the first member of its object, `"name":`.
  JsonText& member(std::string_view name);

  JsonText& open() {
    first_ = true;
    out_ += '{';
    return *this;
  }

  JsonText& close() {
    first_ = false;
    out_ += '}';
    return *this;
  }

  [[nodiscard]] std::string_view view() const { return out_; }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
  bool first_ = true;
};

// The string with its quotes.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace trunkline::session
