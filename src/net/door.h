// SPDX-License-Identifier: Apache-2.0
//
// What stands between the network and the shards: the listening socket, and who may come in by it.
// It lives on one shard (the listener's), which alone counts; other shards tell it by mail that a
// connection has gone or wants to become a WebSocket, and hear its answer by mail.
//
//   accepted  →  Admission: a place, a spare place, or turned away (503, 429)
//   GET /connection/websocket  →  HandshakeQueue: now, in order, or refused (503)
#pragma once

#include <trunkline/error.h>

#include "core/random.h"
#include "hub/messages.h"
#include "net/admission.h"
#include "net/handshake_queue.h"
#include "net/listener.h"
#include "net/memory_budget.h"
#include "net/refusals.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::net {

// A connection that wants to become a WebSocket.
struct HandshakeAsk {
  hub::ShardId shard = 0;
  std::uint64_t connection = 0;
  Place place;
};

// Thread: the loop's, but for the construction.
class Door {
 public:
  struct Handlers {
    // Takes over a connected, non-blocking socket that has a place.
    std::function<void(int descriptor, const Place& place)> adopt;
    // The answer to a handshake; nothing refused: go on.
    std::function<void(const HandshakeAsk& ask, std::optional<Refusal> refused)> answer;
    std::function<void(std::string_view)> log;
  };

  // All references must outlive the door.
  Door(boost::asio::io_context& io, const LimitOptions& limits, const MemoryBudget& memory,
       std::uint64_t seed, Handlers handlers);

  // Binds and listens; connections are accepted from start() on. Errors: kSystem.
  [[nodiscard]] Result<std::uint16_t> open(const std::string& address, std::uint16_t port);

  void start() { listener_.start(); }

  // Accepts nothing more. Handshakes that wait are not answered: their connections end with their
  // shards.
  void close();

  // Answered by Handlers::answer, from inside the call or later.
  void handshake(const HandshakeAsk& ask);
  // A handshake that was let through found its connection gone.
  void handshake_unused();

  // A connection that was adopted has gone.
  void leave(const Place& place) { admission_.leave(place); }

  [[nodiscard]] AdmissionStats stats() const;

 private:
  void accepted(int descriptor, const AddressKey& peer);
  void turn_away(int descriptor, const AddressKey& peer, Refusal refusal);
  void note_refusal(Refusal refusal, const AddressKey& peer);
  void serve_queue();

  const MemoryBudget& memory_;
  const std::size_t unsent_bytes_max_;
  const Handlers handlers_;
  Random random_;
  Admission admission_;
  std::optional<HandshakeQueue<HandshakeAsk>> queue_;  // when there is a rate
  std::uint64_t delayed_ = 0;
  boost::asio::steady_timer queue_timer_;
  Refusals refusals_;
  Listener listener_;
};

}  // namespace trunkline::net
