// SPDX-License-Identifier: Apache-2.0
//
// Whether a connection may become a WebSocket. The door knows; it may take its time to answer.
#include "net/connection_http.h"

#include <utility>

namespace trunkline::net {

void Connection::ask_admission() {
  if (!shard_.options_.ask_handshake) {
    upgrade();
    return;
  }
  http_->asking = true;
  // The wait is the server's to bound, not the client's fault.
  deadline_ = TimePoint::max();
  arm_deadline();
  shard_.options_.ask_handshake(
      {.shard = shard_.self(), .connection = id_, .place = ticket_.place()});
}

void Connection::admitted(std::optional<Refusal> refused) {
  http_->asking = false;
  if (!refused.has_value()) {
    upgrade();
    return;
  }
  // Its place is needed: not kept alive for another try.
  http_->keep_alive = false;
  ++shard_.stats_.refused_handshakes;
  respond(refusal_response(*refused, shard_.random_));
}

}  // namespace trunkline::net
