// SPDX-License-Identifier: Apache-2.0
#include "peers/book_text.h"

#include "peers/address.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace trunkline::peers {

namespace {

constexpr std::string_view kMagic = "trunkline-peers";
constexpr std::string_view kVersion = "1";
// No age of a file may overflow a Duration: a hundred years.
constexpr std::int64_t kSecondsMax = 3'155'760'000;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    fields.push_back(line.substr(0, space));
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  }
  return fields;
}

template <class Number>
bool read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool read_seconds(std::string_view text, std::chrono::seconds& seconds) {
  std::int64_t count = 0;
  if (!read(text, count) || count < 0 || count > kSecondsMax) {
    return false;
  }
  seconds = std::chrono::seconds(count);
  return true;
}

bool read_age(std::string_view text, std::optional<std::chrono::seconds>& age) {
  return text == "-" || read_seconds(text, age.emplace());
}

bool read_address(const std::vector<std::string_view>& fields, SavedBook& book) {
  SavedAddress one;
  const bool is_good = (fields.size() == 5 || (fields.size() == 6 && fields[5] == "up")) &&
                       parse_address(fields[1]).has_value() && read(fields[2], one.failures) &&
                       read_age(fields[3], one.tried_ago) && read_age(fields[4], one.good_ago);
  if (is_good) {
    one.address = fields[1];
    one.is_up = fields.size() == 6;
    book.addresses.push_back(std::move(one));
  }
  return is_good;
}

bool read_host(const std::vector<std::string_view>& fields, SavedBook& book) {
  SavedHost one;
  const bool is_good = fields.size() == 4 && read(fields[2], one.lasting) &&
                       std::isfinite(one.lasting) && one.lasting >= 0 &&
                       read_seconds(fields[3], one.ban_left);
  if (is_good) {
    one.host = fields[1];
    book.hosts.push_back(std::move(one));
  }
  return is_good;
}

bool read_line(std::string_view line, std::size_t number, SavedBook& book) {
  const std::vector<std::string_view> fields = fields_of(line);
  if (number == 1) {
    return fields.size() == 3 && fields[0] == kMagic && fields[1] == kVersion &&
           read(fields[2], book.at);
  }
  return fields.empty() || (fields[0] == "address" && read_address(fields, book)) ||
         (fields[0] == "host" && read_host(fields, book));
}

std::string text_of(const std::optional<std::chrono::seconds>& age) {
  return age.has_value() ? std::to_string(age->count()) : "-";
}

}  // namespace

std::string to_text(const SavedBook& book) {
  std::string text = fmt::format("{} {} {}\n", kMagic, kVersion, book.at);
  for (const SavedAddress& one : book.addresses) {
    text += fmt::format("address {} {} {} {}{}\n", one.address, one.failures,
                        text_of(one.tried_ago), text_of(one.good_ago), one.is_up ? " up" : "");
  }
  for (const SavedHost& one : book.hosts) {
    text += fmt::format("host {} {} {}\n", one.host, one.lasting, one.ban_left.count());
  }
  return text;
}

Result<SavedBook> parse_book(std::string_view text) {
  SavedBook book;
  std::size_t number = 0;
  do {
    const std::size_t end = text.find('\n');
    if (!read_line(text.substr(0, end), ++number, book)) {
      return fail(ErrorCode::kMalformed, fmt::format("line {} of the saved peers", number));
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  } while (!text.empty());
  return book;
}

}  // namespace trunkline::peers
