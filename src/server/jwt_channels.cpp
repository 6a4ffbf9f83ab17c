// SPDX-License-Identifier: Apache-2.0
#include "server/jwt_channels.h"

#include "server/base64.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::server {

namespace {

std::unexpected<Error> invalid(std::string what) {
  return fail(ErrorCode::kTokenInvalid, std::move(what));
}

// The value of a claim; null is the same as absent.
const std::string* find_claim(const JsonMembers& claims, std::string_view name) {
  const std::string* const found = find_member(claims, name);
  return found != nullptr && *found != "null" ? found : nullptr;
}

std::optional<std::string> as_text(const std::string& raw) {
  const nlohmann::json value = nlohmann::json::parse(raw, nullptr, false);
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

// JSON as it stands under `name`, or in base64 under `b64` and that name.
Result<std::string> json_option(const JsonMembers& options, const std::string& name) {
  if (const std::string* const plain = find_claim(options, name)) {
    return *plain;
  }
  const std::string* const encoded = find_claim(options, "b64" + name);
  if (encoded == nullptr) {
    return std::string{};
  }
  const std::optional<std::string> text = as_text(*encoded);
  const auto bytes = text.has_value() ? decode_base64(*text) : std::nullopt;
  auto checked = bytes.has_value() ? checked_json(*bytes) : std::nullopt;
  if (!checked.has_value()) {
    return invalid(fmt::format("'b64{}' of a channel in claim 'subs' is not JSON in base64", name));
  }
  return std::move(*checked);
}

Result<void> read_subs(const std::string& raw, std::vector<session::ServerChannel>& out) {
  const Result<JsonMembers> subs = json_members(raw);
  if (!subs.has_value()) {
    return invalid("claim 'subs' is not an object");
  }
  for (const auto& [channel, text] : *subs) {
    const Result<JsonMembers> options = json_members(text);
    if (!options.has_value()) {
      return invalid("a channel of claim 'subs' is not an object");
    }
    Result<std::string> info = json_option(*options, "info");
    Result<std::string> data = json_option(*options, "data");
    if (!info.has_value() || !data.has_value()) {
      return std::unexpected(info.has_value() ? data.error() : info.error());
    }
    out.push_back({.channel = channel, .info = std::move(*info), .data = std::move(*data)});
  }
  return {};
}

Result<void> read_channels(const std::string& raw, std::vector<session::ServerChannel>& out) {
  const Result<std::vector<std::string>> elements = json_elements(raw);
  if (!elements.has_value()) {
    return invalid("claim 'channels' is not a list");
  }
  for (const std::string& element : *elements) {
    std::optional<std::string> name = as_text(element);
    if (!name.has_value()) {
      return invalid("claim 'channels' has an element that is not a string");
    }
    out.push_back({.channel = std::move(*name)});
  }
  return {};
}

}  // namespace

Result<std::vector<session::ServerChannel>> channel_claims(const JsonMembers& claims) {
  std::vector<session::ServerChannel> channels;
  if (const std::string* const subs = find_claim(claims, "subs")) {
    if (const Result<void> read = read_subs(*subs, channels); !read.has_value()) {
      return std::unexpected(read.error());
    }
  }
  if (const std::string* const names = find_claim(claims, "channels")) {
    if (const Result<void> read = read_channels(*names, channels); !read.has_value()) {
      return std::unexpected(read.error());
    }
  }
  return channels;
}

}  // namespace trunkline::server
