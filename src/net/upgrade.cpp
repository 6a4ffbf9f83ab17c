// SPDX-License-Identifier: Apache-2.0
#include "net/upgrade.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace trunkline::net {

namespace http = boost::beast::http;

namespace {

constexpr std::array<std::string_view, 1> kSubprotocols = {"centrifuge-json"};

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Whether one of the query's parameters is this one.
bool has_parameter(std::string_view query, std::string_view parameter) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    if (query.substr(0, end) == parameter) {
      return true;
    }
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
  }
  return false;
}

// A field that is a list may come in several lines, which read as one (RFC 9110, section 5.3).
std::string list_field(const RequestReader::Message& message, http::field name) {
  std::string joined;
  const auto [first, last] = message.equal_range(name);
  for (auto line = first; line != last; ++line) {
    joined += joined.empty() ? "" : ", ";
    joined += view(line->value());
  }
  return joined;
}

bool is_origin_allowed(std::string_view origin, std::string_view host,
                       const std::vector<std::string>& allowed_origins) {
  if (origin.empty()) {
    return true;
  }
  // The page that this server itself has served.
  const std::size_t authority = origin.find("://");
  if (authority != std::string_view::npos && origin.substr(authority + 3) == host) {
    return true;
  }
  return std::ranges::any_of(allowed_origins, [origin](const std::string& allowed) {
    return allowed == "*" || allowed == origin;
  });
}

std::unexpected<ws::HandshakeRefusal> refuse(int status, std::string reason) {
  return std::unexpected(ws::HandshakeRefusal{status, std::move(reason)});
}

std::expected<ws::HandshakeResponse, ws::HandshakeRefusal> accept_fields(
    const RequestReader::Message& message) {
  const auto field = [&message](http::field name) { return view(message[name]); };
  const std::string upgrade = list_field(message, http::field::upgrade);
  const std::string connection = list_field(message, http::field::connection);
  const std::string subprotocols = list_field(message, http::field::sec_websocket_protocol);
  auto response =
      ws::accept_handshake({.method = view(message.method_string()),
                            .http_version = message.version(),
                            .host = field(http::field::host),
                            .upgrade = upgrade,
                            .connection = connection,
                            .sec_websocket_key = field(http::field::sec_websocket_key),
                            .sec_websocket_version = field(http::field::sec_websocket_version),
                            .sec_websocket_protocol = subprotocols},
                           {kSubprotocols.begin(), kSubprotocols.end()});
  if (response.has_value() && response->subprotocol.empty() &&
      subprotocols.contains("centrifuge-protobuf")) {
    // Without a subprotocol in the answer the client would read JSON as Protobuf.
    return refuse(400, "the Protobuf format is not spoken here yet; offer centrifuge-json");
  }
  return response;
}

}  // namespace

std::expected<Upgrade, ws::HandshakeRefusal> accept_upgrade(const RequestReader::Message& message,
                                                            const UpgradeOptions& options) {
  const std::string_view target = view(message.target());
  const std::size_t question = target.find('?');
  const std::string_view query =
      question == std::string_view::npos ? std::string_view{} : target.substr(question + 1);
  if (has_parameter(query, "cf_protocol=protobuf") || has_parameter(query, "format=protobuf")) {
    return refuse(400, "the Protobuf format is not spoken here yet; connect without it for JSON");
  }
  const std::string_view origin = view(message[http::field::origin]);
  if (!is_origin_allowed(origin, view(message[http::field::host]), options.allowed_origins)) {
    return refuse(403, fmt::format("origin '{}' is not in client.allowed_origins", origin));
  }
  const auto response = accept_fields(message);
  if (!response.has_value()) {
    return std::unexpected(response.error());
  }
  Upgrade upgrade{.head = fmt::format("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                      "Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
                                      response->accept),
                  .deflate = {},
                  .native_pings = has_parameter(query, "cf_ws_frame_ping_pong=true")};
  if (!response->subprotocol.empty()) {
    upgrade.head += fmt::format("Sec-WebSocket-Protocol: {}\r\n", response->subprotocol);
  }
  if (options.compression) {
    const auto agreed = ws::accept_deflate(
        list_field(message, http::field::sec_websocket_extensions),
        {.server_no_context_takeover = true, .client_no_context_takeover = true});
    if (!agreed.has_value()) {
      return refuse(400, agreed.error().context);
    }
    if (agreed->has_value()) {
      upgrade.deflate = (*agreed)->parameters;
      upgrade.head += fmt::format("Sec-WebSocket-Extensions: {}\r\n", (*agreed)->answer);
    }
  }
  upgrade.head += "\r\n";
  return upgrade;
}

session::Fields kept_fields(const RequestReader::Message& message,
                            const std::vector<std::string>& names) {
  session::Fields kept;
  for (const std::string& name : names) {
    const auto [first, last] = message.equal_range(name);
    for (auto line = first; line != last; ++line) {
      kept.emplace_back(name, view(line->value()));
    }
  }
  return kept;
}

}  // namespace trunkline::net
