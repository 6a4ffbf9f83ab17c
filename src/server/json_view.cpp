// SPDX-License-Identifier: Apache-2.0
#include "server/json_view.h"

#include "session/command.h"
#include "ws/frame_reader.h"

#include <simdjson.h>

#include <algorithm>

namespace trunkline::server {

namespace od = simdjson::ondemand;

namespace {

std::string padded(std::string_view text) {
  std::string copy;
  copy.reserve(text.size() + ws::kMessagePadding);
  copy = text;
  return copy;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos
             ? std::string_view{}
             : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Raw line feeds can stand between tokens only: inside strings they are escaped.
std::string without_line_feeds(std::string_view text) {
  std::string line(text);
  std::erase_if(line, [](char letter) { return letter == '\n' || letter == '\r'; });
  return line;
}

bool check(const std::string& text) {
  session::CommandDecoder decoder;
  return decoder.check_document(text).has_value();
}

// The raw text of a value of a document that has been checked as a whole.
Result<std::string> raw_text(simdjson::simdjson_result<od::value> value) {
  std::string_view raw;
  if (simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) {
    return fail(ErrorCode::kMalformed, "not well-formed JSON");
  }
  return without_line_feeds(trimmed(raw));
}

}  // namespace

Result<JsonMembers> json_members(std::string_view object) {
  const std::string text = padded(object);
  od::parser parser;
  od::document document;
  od::object members;
  if (!check(text) ||
      parser.iterate(text.data(), text.size(), text.capacity()).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(members) != simdjson::SUCCESS) {
    return fail(ErrorCode::kMalformed, "not a JSON object");
  }
  JsonMembers result;
  for (auto member : members) {
    std::string_view key;
    if (member.unescaped_key().get(key) != simdjson::SUCCESS) {
      return fail(ErrorCode::kMalformed, "not well-formed JSON");
    }
    std::string name(key);
    Result<std::string> raw = raw_text(member.value());
    if (!raw.has_value()) {
      return std::unexpected(raw.error());
    }
    result.emplace_back(std::move(name), std::move(*raw));
  }
  return result;
}

Result<std::vector<std::string>> json_elements(std::string_view array) {
  const std::string text = padded(array);
  od::parser parser;
  od::document document;
  od::array elements;
  if (!check(text) ||
      parser.iterate(text.data(), text.size(), text.capacity()).get(document) !=
          simdjson::SUCCESS ||
      document.get_array().get(elements) != simdjson::SUCCESS) {
    return fail(ErrorCode::kMalformed, "not a JSON array");
  }
  std::vector<std::string> result;
  for (auto element : elements) {
    Result<std::string> raw = raw_text(element);
    if (!raw.has_value()) {
      return std::unexpected(raw.error());
    }
    result.push_back(std::move(*raw));
  }
  return result;
}

std::optional<std::string> checked_json(std::string_view text) {
  const std::string copy = padded(text);
  session::CommandDecoder decoder;
  const std::optional<std::string_view> value = decoder.check_document(copy);
  return value.has_value() ? std::optional(without_line_feeds(*value)) : std::nullopt;
}

const std::string* find_member(const JsonMembers& members, std::string_view name) {
  const auto found = std::ranges::find(members, name, &JsonMembers::value_type::first);
  return found == members.end() ? nullptr : &found->second;
}

}  // namespace trunkline::server
