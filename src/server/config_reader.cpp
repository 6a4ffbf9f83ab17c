// SPDX-License-Identifier: Apache-2.0
#include "server/config_reader.h"

#include "server/config.h"
#include "server/config_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace trunkline::server {

namespace {

std::optional<std::int64_t> as_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return std::in_range<std::int64_t>(number) ? std::optional(static_cast<std::int64_t>(number))
                                               : std::nullopt;
  }
  if (value.is_number_integer()) {
    return value.get<std::int64_t>();
  }
  if (const auto text = untyped_text(value)) {
    std::int64_t number = 0;
    const char* const last = text->data() + text->size();
    const auto [end, error] = std::from_chars(text->data(), last, number);
    if (error == std::errc{} && end == last) {
      return number;
    }
  }
  return std::nullopt;
}

// YAML's spellings, and the 1 and 0 that are usual in the environment.
std::optional<bool> as_bool(const nlohmann::json& value) {
  if (value.is_boolean()) {
    return value.get<bool>();
  }
  const auto text = untyped_text(value);
  if (text == "true" || text == "True" || text == "TRUE" || text == "1") {
    return true;
  }
  if (text == "false" || text == "False" || text == "FALSE" || text == "0") {
    return false;
  }
  return std::nullopt;
}

std::optional<std::string> as_text(const nlohmann::json& value) {
  return value.is_string() ? std::optional(value.get<std::string>()) : untyped_text(value);
}

// A value for a message. The environment and YAML may hold bytes that are no UTF-8.
std::string describe(const nlohmann::json& value) {
  const auto text = untyped_text(value);
  return (text.has_value() ? nlohmann::json(*text) : value)
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) {
      words.emplace_back(text.substr(at, end - at));
    }
    at = end + 1;
  }
  return words;
}

// A list of strings; without a type (the environment) as a JSON array or as words.
std::optional<std::vector<std::string>> as_words(const nlohmann::json& value) {
  if (const auto text = untyped_text(value)) {
    if (!text->starts_with('[')) {
      return words_of(*text);
    }
    const nlohmann::json parsed = nlohmann::json::parse(*text, nullptr, false);
    return parsed.is_array() ? as_words(parsed) : std::nullopt;
  }
  if (!value.is_array()) {
    return std::nullopt;
  }
  std::vector<std::string> words;
  for (const nlohmann::json& element : value) {
    std::optional<std::string> word = as_text(element);
    if (!word.has_value()) {
      return std::nullopt;
    }
    words.push_back(std::move(*word));
  }
  return words;
}

}  // namespace

std::string ConfigFindings::origin(const std::string& key) const {
  const auto found = origins.find(key);
  return found == origins.end() ? source : fmt::format("environment variable {}", found->second);
}

void ConfigFindings::refuse(const std::string& key, const std::string& reason) {
  if (!error.has_value()) {
    error = Error{ErrorCode::kConfig, fmt::format("{}: {}: {}", origin(key), key, reason)};
  }
}

ConfigSection::ConfigSection(nlohmann::json value, std::string path, ConfigFindings& findings)
    : value_(std::move(value)), path_(std::move(path)), findings_(findings) {
  if (value_.is_null()) {
    value_ = nlohmann::json::object();
  }
  if (!value_.is_object()) {
    findings_.refuse(path_.empty() ? "the file" : path_, "must be an object with options");
    value_ = nlohmann::json::object();
  }
}

ConfigSection::~ConfigSection() {
  for (const auto& [name, value] : value_.items()) {
    findings_.warnings.push_back(
        fmt::format("{}: unknown option '{}' is ignored", findings_.origin(key(name)), key(name)));
  }
}

std::string ConfigSection::key(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void ConfigSection::refuse(std::string_view name, const std::string& reason) {
  findings_.refuse(key(name), reason);
}

void ConfigSection::warn(std::string_view name, const std::string& reason) {
  findings_.warnings.push_back(
      fmt::format("{}: {}: {}", findings_.origin(key(name)), key(name), reason));
}

std::optional<nlohmann::json> ConfigSection::take(const char* name) {
  const auto found = value_.find(name);
  if (found == value_.end()) {
    return std::nullopt;
  }
  nlohmann::json value = std::move(*found);
  value_.erase(found);
  return value.is_null() ? std::nullopt : std::optional(std::move(value));
}

void ConfigSection::read(const char* name, bool& out) {
  if (const auto value = take(name)) {
    if (const auto flag = as_bool(*value)) {
      out = *flag;
    } else {
      refuse(name, fmt::format("{} is not true or false", describe(*value)));
    }
  }
}

void ConfigSection::read(const char* name, std::string& out) {
  if (const auto value = take(name)) {
    if (auto text = as_text(*value)) {
      out = std::move(*text);
    } else {
      // Not the value: it may be a secret.
      refuse(name, fmt::format("must be a string, not {} {}", value->is_array() ? "an" : "a",
                               value->type_name()));
    }
  }
}

void ConfigSection::read(const char* name, Duration& out) {
  const auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  const auto text = as_text(*value);
  if (!text.has_value()) {
    refuse(name,
           fmt::format("{} is not a duration such as \"300s\" or \"1h30m\"", describe(*value)));
    return;
  }
  const Result<Duration> duration = parse_duration(*text);
  if (duration.has_value()) {
    out = *duration;
  } else {
    refuse(name, duration.error().context);
  }
}

void ConfigSection::read(const char* name, std::vector<std::string>& out) {
  if (const auto value = take(name)) {
    if (auto words = as_words(*value)) {
      out = std::move(*words);
    } else {
      refuse(name, "must be a list of strings");
    }
  }
}

void ConfigSection::read(const char* name, std::vector<std::pair<std::string, std::string>>& out) {
  auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  // The environment has an object as JSON.
  if (const auto text = untyped_text(*value)) {
    *value = nlohmann::json::parse(*text, nullptr, false);
  }
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [key, member] : value->is_object() ? value->items() : nlohmann::json().items()) {
    if (auto text = as_text(member)) {
      pairs.emplace_back(key, std::move(*text));
    }
  }
  if (!value->is_object() || pairs.size() != value->size()) {
    refuse(name, "must be an object of strings");
    return;
  }
  out = std::move(pairs);
}

bool ConfigSection::read_integer(const char* name, std::int64_t& out, std::int64_t min,
                                 std::int64_t max) {
  const auto value = take(name);
  if (!value.has_value()) {
    return false;
  }
  const auto number = as_integer(*value);
  if (!number.has_value() || *number < min || *number > max) {
    refuse(name, fmt::format("{} is not an integer from {} to {}", describe(*value), min, max));
    return false;
  }
  out = *number;
  return true;
}

void ConfigSection::section(const char* name, const std::function<void(ConfigSection&)>& reader) {
  ConfigSection inner(take(name).value_or(nlohmann::json::object()), key(name), findings_);
  reader(inner);
}

void ConfigSection::list(const char* name, const std::function<void(ConfigSection&)>& reader) {
  auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  // The environment has a list as JSON.
  if (const auto text = untyped_text(*value)) {
    *value = nlohmann::json::parse(*text, nullptr, false);
  }
  if (!value->is_array()) {
    refuse(name, "must be a list of objects");
    return;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    if ((*value)[i].is_null()) {
      refuse(fmt::format("{}[{}]", name, i), "must be an object with options");
      return;
    }
    ConfigSection inner((*value)[i], fmt::format("{}[{}]", key(name), i), findings_);
    reader(inner);
  }
}

}  // namespace trunkline::server
