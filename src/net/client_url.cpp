// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"
#include "net/url.h"

#include <utility>

namespace trunkline::net {

Result<ClientTarget> parse_client_url(std::string_view url) {
  Result<Url> parts = parse_url(url, kWebSocketSchemes);
  if (!parts.has_value()) {
    return std::unexpected(parts.error());
  }
  ClientTarget target;
  target.is_secure = parts->is_secure;
  target.host = std::move(parts->host);
  target.port = std::move(parts->port);
  target.handshake.host = std::move(parts->authority);
  target.handshake.target = std::move(parts->target);
  return target;
}

}  // namespace trunkline::net
