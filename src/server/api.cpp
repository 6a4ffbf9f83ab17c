// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include "server/api_call.h"
#include "server/core.h"
#include "session/json.h"

#include <nlohmann/json.hpp>
#include <openssl/crypto.h>

#include <utility>

namespace trunkline::server {

namespace {

constexpr std::string_view kPrefix = "/api";

// Takes as long for a wrong key as for a right one.
bool equal(std::string_view given, std::string_view key) {
  return given.size() == key.size() && CRYPTO_memcmp(given.data(), key.data(), key.size()) == 0;
}

std::string_view query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) {
      return pair.substr(name.size() + 1);
    }
    query = pair.size() == query.size() ? std::string_view{} : query.substr(pair.size() + 1);
  }
  return {};
}

}  // namespace

bool is_api_authorized(const Core& core, const net::HttpRequest& request) {
  const auto& api = core.config().http_api;
  if (api.insecure) {
    return true;
  }
  if (api.key.empty()) {
    return false;
  }
  static constexpr std::string_view kScheme = "apikey ";
  const std::string_view authorization = request.field("Authorization");
  return equal(request.field("X-API-Key"), api.key) ||
         (authorization.starts_with(kScheme) &&
          equal(authorization.substr(kScheme.size()), api.key)) ||
         equal(query_value(request.query, "api_key"), api.key);
}

std::string api_reply(const std::expected<std::string, ApiError>& result) {
  if (result.has_value()) {
    return R"({"result":)" + *result + "}";
  }
  session::JsonText json;
  json.raw(R"({"error":{"code":)").number(result.error().code).raw(R"(,"message":)");
  json.string(result.error().message).raw("}}");
  return json.take();
}

void handle_api(Core& core, net::Shard& shard, const net::HttpRequest& request,
                net::HttpRespond respond) {
  if (!is_api_authorized(core, request)) {
    respond({.status = 401,
             .content_type = "text/plain",
             .body = core.config().http_api.key.empty()
                         ? "no API key is configured (http_api.key)\n"
                         : "the API key is missing or wrong (X-API-Key)\n",
             .fields = {}});
    return;
  }
  if (request.method != "POST") {
    respond({.status = 405,
             .content_type = "text/plain",
             .body = "the API takes POST\n",
             .fields = {{"Allow", "POST"}}});
    return;
  }
  std::string method;
  std::string params = request.body;
  std::string_view path = std::string_view(request.path).substr(kPrefix.size());
  if (path.empty() || path == "/") {
    const Result<JsonMembers> form = json_members(request.body);
    const std::string* name = form.has_value() ? find_member(*form, "method") : nullptr;
    const nlohmann::json parsed =
        name == nullptr ? nlohmann::json{} : nlohmann::json::parse(*name, nullptr, false);
    method = parsed.is_string() ? parsed.get<std::string>() : "";
    const std::string* given = form.has_value() ? find_member(*form, "params") : nullptr;
    params = given == nullptr ? "{}" : *given;
  } else {
    method = path.substr(1);
  }
  // A batch's result is its reply: the schema has `replies` at the top.
  const bool bare = method == "batch";
  api_call(
      {core, shard}, method, params.empty() ? "{}" : params,
      [respond = std::move(respond), bare](std::expected<std::string, ApiError> result) mutable {
        respond({.status = 200,
                 .content_type = "application/json",
                 .body = bare && result.has_value() ? *result : api_reply(result),
                 .fields = {}});
      });
}

}  // namespace trunkline::server
