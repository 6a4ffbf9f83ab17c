// SPDX-License-Identifier: Apache-2.0
//
// What the server answers a handshake request at the WebSocket endpoint. No socket, no clock.
#pragma once

#include "net/request_reader.h"
#include "session/application.h"
#include "ws/deflate_offer.h"
#include "ws/handshake.h"

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::net {

struct UpgradeOptions {
  // Beside the server's own; "*": any. Requests without Origin are not a browser's, and pass.
  const std::vector<std::string>& allowed_origins;
  bool compression = false;
};

struct Upgrade {
  std::string head;  // the answer's bytes
  std::optional<ws::DeflateParameters> deflate;
  bool native_pings = false;  // asked for by the URL's query
};

[[nodiscard]] std::expected<Upgrade, ws::HandshakeRefusal> accept_upgrade(
    const RequestReader::Message& message, const UpgradeOptions& options);

// The fields of those names, compared without case; one that comes several times is there as often.
[[nodiscard]] session::Fields kept_fields(const RequestReader::Message& message,
                                          const std::vector<std::string>& names);

}  // namespace trunkline::net
