// SPDX-License-Identifier: Apache-2.0
//
// Many raw clients of the client protocol on one epoll, on the caller's thread. It receives, takes
// frames apart by the room's strict reader, answers pings, and hands out lines. What the lines mean
// is its owner's.
#pragma once

#include "load/wire.h"
#include "ws/frame_reader.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

// Clients are named by their index, in the order in which they were added.
class ClientOwner {
 public:
  ClientOwner() = default;
  ClientOwner(const ClientOwner&) = delete;
  ClientOwner& operator=(const ClientOwner&) = delete;
  virtual ~ClientOwner() = default;

  // Received bytes that begin with a frame: returns how many of them it has dealt with, whole
  // frames only.
  virtual std::size_t on_frames(std::size_t /*who*/, std::span<const char> /*bytes*/) { return 0; }

  // A line of a text message; `alone` when the message has no other.
  virtual void on_line(std::size_t who, std::string_view line, bool alone) = 0;

  // All that one receive had has been dealt with.
  virtual void on_received() {}

  // A client of add_opening() is a WebSocket now.
  virtual void on_open(std::size_t /*who*/) {}

  // The client's connection is lost or closed, or what came is not the protocol.
  virtual void on_lost(std::size_t who, const std::string& why) = 0;
};

class ClientSet final : private ws::MessageHandler {
 public:
  explicit ClientSet(ClientOwner& owner);
  ClientSet(const ClientSet&) = delete;
  ClientSet& operator=(const ClientSet&) = delete;
  // Resets the connections.
  ~ClientSet() override;

  // Opens a client for each channel and subscribes it; an empty channel only connects. In groups,
  // so that the server has work while the group's others are waited for, and yet no backlog
  // overflows. Returns the replies to the last commands.
  [[nodiscard]] Result<std::vector<std::string>> open(const Endpoint& endpoint,
                                                      std::span<const std::string> channels,
                                                      std::chrono::seconds timeout);
  // A WebSocket; the set owns the socket.
  std::size_t add(int fd);
  // A socket of begin_socket(): it becomes a WebSocket first.
  std::size_t add_opening(int fd, std::uint16_t port);

  [[nodiscard]] std::size_t size() const { return clients_.size(); }

  // Whether bytes are read; those of a client that is not stay with the kernel.
  void listen(std::size_t who, bool on);
  // Whole frames. Waits for room, which a server that reads always makes.
  void send(std::size_t who, std::string_view frames);
  // Resets all connections and forgets them.
  void close_all();

  // Waits for something to read and deals with it. False when there was nothing.
  bool turn(std::chrono::milliseconds wait);

  // When the last bytes were received.
  [[nodiscard]] std::uint64_t received_ns() const { return received_ns_; }

 private:
  enum class State : std::uint8_t { kConnecting, kUpgrading, kOpen, kLost };

  struct Client {
    int fd = -1;
    State state = State::kOpen;
    std::uint16_t port = 0;
    ws::FrameReader reader;
  };

  std::size_t add(int fd, State state, std::uint16_t port, std::uint32_t events);
  void watch(std::size_t who, std::uint32_t events, int operation);
  void on_event(std::size_t who);
  void connected(Client& client);
  void upgraded(Client& client, std::string_view answer);
  void received(Client& client, std::span<char> bytes);
  void lost(const std::string& why);

  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

  ClientOwner& owner_;
  int poll_ = -1;
  std::vector<Client> clients_;
  std::size_t current_ = 0;  // whose bytes are read
  std::uint64_t received_ns_ = 0;
  std::vector<char> buffer_;
};

}  // namespace trunkline::bench
