// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/connection.h"
#include "net/request_reader.h"
#include "net/shard.h"

#include <cstdint>

namespace trunkline::net {

// What a connection needs while it speaks HTTP; gone when it is a WebSocket.
struct Connection::Http {
  explicit Http(std::uint64_t body_bytes_max) : reader(body_bytes_max) {}

  RequestReader reader;
  bool responding = false;  // a request is being handled
  bool asking = false;      // … which is a handshake that the door has not answered
  bool keep_alive = true;
};

}  // namespace trunkline::net
