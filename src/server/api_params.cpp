// SPDX-License-Identifier: Apache-2.0
#include "server/api_params.h"

#include <nlohmann/json.hpp>

#include <limits>

namespace trunkline::server {

ApiParams::ApiParams(std::string_view text) {
  Result<JsonMembers> members = json_members(text);
  if (members.has_value()) {
    members_ = std::move(*members);
  } else {
    error_ = api_bad_request("the parameters are " + members.error().context);
  }
}

void ApiParams::refuse(std::string_view name, std::string_view wanted) {
  if (!error_.has_value()) {
    error_ = api_bad_request("'" + std::string(name) + "' must be " + std::string(wanted));
  }
}

const std::string* ApiParams::raw(std::string_view name) {
  const std::string* value = find_member(members_, name);
  return value != nullptr && *value == "null" && name != "data" ? nullptr : value;
}

std::string ApiParams::text(std::string_view name) {
  const std::string* value = raw(name);
  if (value == nullptr) {
    return {};
  }
  const nlohmann::json parsed = nlohmann::json::parse(*value, nullptr, false);
  if (!parsed.is_string()) {
    refuse(name, "a string");
    return {};
  }
  return parsed.get<std::string>();
}

bool ApiParams::flag(std::string_view name) {
  const std::string* value = raw(name);
  if (value != nullptr && *value != "true" && *value != "false") {
    refuse(name, "true or false");
  }
  return value != nullptr && *value == "true";
}

std::int64_t ApiParams::integer(std::string_view name) {
  const std::string* value = raw(name);
  if (value == nullptr) {
    return 0;
  }
  const nlohmann::json parsed = nlohmann::json::parse(*value, nullptr, false);
  const bool too_large = parsed.is_number_unsigned() &&
                         parsed.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
  if (!parsed.is_number_integer() || too_large) {
    refuse(name, "an integer");
    return 0;
  }
  return parsed.get<std::int64_t>();
}

std::vector<std::string> ApiParams::texts(std::string_view name) {
  std::vector<std::string> result;
  const std::string* value = raw(name);
  if (value == nullptr) {
    return result;
  }
  const nlohmann::json parsed = nlohmann::json::parse(*value, nullptr, false);
  if (!parsed.is_array()) {
    refuse(name, "a list of strings");
    return result;
  }
  for (const nlohmann::json& element : parsed) {
    if (!element.is_string()) {
      refuse(name, "a list of strings");
      return {};
    }
    result.push_back(element.get<std::string>());
  }
  return result;
}

std::vector<std::pair<std::string, std::string>> ApiParams::text_map(std::string_view name) {
  std::vector<std::pair<std::string, std::string>> result;
  const std::string* value = raw(name);
  if (value == nullptr) {
    return result;
  }
  const nlohmann::json parsed = nlohmann::json::parse(*value, nullptr, false);
  if (!parsed.is_object()) {
    refuse(name, "an object of strings");
    return result;
  }
  for (const auto& [key, element] : parsed.items()) {
    if (!element.is_string()) {
      refuse(name, "an object of strings");
      return {};
    }
    result.emplace_back(key, element.get<std::string>());
  }
  return result;
}

void ApiParams::require(std::string_view name, bool present) {
  if (!present && !error_.has_value()) {
    error_ = api_bad_request("'" + std::string(name) + "' is required");
  }
}

}  // namespace trunkline::server
