// SPDX-License-Identifier: Apache-2.0
#include "server/config_reader.h"

#include "server/config.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace trunkline::server {

namespace {

// YAML and environment values come as text: what looks like the wanted type is it.
std::optional<std::int64_t> as_integer(const nlohmann::json& value) {
  if (value.is_number_integer()) {
    return value.get<std::int64_t>();
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size() && !text.empty()) {
      return number;
    }
  }
  return std::nullopt;
}

std::optional<bool> as_bool(const nlohmann::json& value) {
  if (value.is_boolean()) {
    return value.get<bool>();
  }
  if (value.is_string() && (value == "true" || value == "false")) {
    return value == "true";
  }
  return std::nullopt;
}

}  // namespace

void ConfigFindings::refuse(const std::string& key, const std::string& reason) {
  if (!error.has_value()) {
    error = Error{ErrorCode::kConfig, fmt::format("{}: {}: {}", source, key, reason)};
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
        fmt::format("{}: unknown option '{}' is ignored", findings_.source, key(name)));
  }
}

std::string ConfigSection::key(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void ConfigSection::refuse(std::string_view name, const std::string& reason) {
  findings_.refuse(key(name), reason);
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
      refuse(name, fmt::format("{} is not true or false", value->dump()));
    }
  }
}

void ConfigSection::read(const char* name, std::string& out) {
  if (const auto value = take(name)) {
    if (value->is_string()) {
      out = value->get<std::string>();
    } else {
      refuse(name, fmt::format("{} is not a string", value->dump()));
    }
  }
}

void ConfigSection::read(const char* name, Duration& out) {
  const auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  if (!value->is_string()) {
    refuse(name, fmt::format("{} is not a duration such as \"300s\" or \"1h30m\"", value->dump()));
    return;
  }
  const Result<Duration> duration = parse_duration(value->get_ref<const std::string&>());
  if (duration.has_value()) {
    out = *duration;
  } else {
    refuse(name, duration.error().context);
  }
}

void ConfigSection::read(const char* name, std::vector<std::string>& out) {
  const auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  // From the environment a list comes as words.
  if (value->is_string()) {
    out.clear();
    const auto& text = value->get_ref<const std::string&>();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) {
        out.push_back(text.substr(at, end - at));
      }
      at = end + 1;
    }
    return;
  }
  std::vector<std::string> list;
  bool good = value->is_array();
  for (const auto& element : *value) {
    good = good && element.is_string();
    list.push_back(element.is_string() ? element.get<std::string>() : "");
  }
  if (good) {
    out = std::move(list);
  } else {
    refuse(name, "must be a list of strings");
  }
}

bool ConfigSection::read_integer(const char* name, std::int64_t& out, std::int64_t min,
                                 std::int64_t max) {
  const auto value = take(name);
  if (!value.has_value()) {
    return false;
  }
  const auto number = as_integer(*value);
  if (!number.has_value() || *number < min || *number > max) {
    refuse(name, fmt::format("{} is not an integer from {} to {}", value->dump(), min, max));
    return false;
  }
  out = *number;
  return true;
}

void ConfigSection::section(const char* name,
                            const std::function<void(ConfigSection&)>& reader) {
  ConfigSection inner(take(name).value_or(nlohmann::json::object()), key(name), findings_);
  reader(inner);
}

void ConfigSection::list(const char* name, const std::function<void(ConfigSection&)>& reader) {
  auto value = take(name);
  if (!value.has_value()) {
    return;
  }
  if (value->is_string()) {
    *value = nlohmann::json::parse(value->get<std::string>(), nullptr, false);
  }
  if (!value->is_array()) {
    refuse(name, "must be a list of objects");
    return;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    ConfigSection inner((*value)[i], fmt::format("{}[{}]", key(name), i), findings_);
    reader(inner);
  }
}

}  // namespace trunkline::server
