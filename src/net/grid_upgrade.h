// SPDX-License-Identifier: Apache-2.0
//
// The WebSocket's opening handshake between two nodes, both roles, as bytes. No socket.
#pragma once

#include <trunkline/error.h>

#include "grid/handshake.h"
#include "net/request_reader.h"
#include "ws/handshake.h"

#include <optional>
#include <string>
#include <string_view>

namespace trunkline::net {

// Thread: one at a time.
class GridUpgrade {
 public:
  // `host`: who is dialled. `nonce`: 16 random bytes, for a dialler.
  GridUpgrade(grid::Side side, std::string host, std::string nonce);

  // Dialler: the request. Error: kInvalidArgument for a host that cannot stand in one.
  [[nodiscard]] Result<std::string> request() const;
  // Takes what came. True when the WebSocket stands; answer() is to be sent, and rest() came
  // already. Errors: kHandshakeRefused; answer() says so to the other side.
  [[nodiscard]] Result<bool> take(std::string_view bytes);

  // Acceptor.
  [[nodiscard]] const std::string& answer() const { return answer_; }

  [[nodiscard]] const std::string& rest() const { return rest_; }

 private:
  [[nodiscard]] Result<bool> take_request(std::string_view bytes);
  [[nodiscard]] Result<bool> take_response(std::string_view bytes);

  const grid::Side side_;
  const ws::ClientHandshake handshake_;
  const std::string nonce_;
  RequestReader reader_{0};
  std::string received_;
  std::string answer_;
  std::string rest_;
};

}  // namespace trunkline::net
