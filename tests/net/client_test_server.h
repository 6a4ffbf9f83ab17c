// SPDX-License-Identifier: Apache-2.0
//
// A server of one listening socket and one thread, which a test scripts: what it answers to each
// text message, and how it misbehaves. Real sockets on the loopback, any free port.
#pragma once

#include "ws/frame.h"
#include "ws/frame_reader.h"
#include "ws/handshake.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::net {

class ClientTestServer;

// One client's connection, as its script sees it. Server's thread.
class ServerPeer final : public ws::MessageHandler {
 public:
  ServerPeer(ClientTestServer& server, int descriptor) : server_(server), descriptor_(descriptor) {}

  ~ServerPeer() override { ::close(descriptor_); }

  void say(std::string_view text) { write(ws::make_frame(ws::Opcode::kText, text)); }

  // Any bytes, frames or not.
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // A Close frame with exactly these two bytes of status, valid or not.
  void close_with(std::uint16_t status, std::string_view reason) {
    std::string payload{static_cast<char>(status >> 8U), static_cast<char>(status & 0xFFU)};
    payload += reason;
    write(ws::make_frame(ws::Opcode::kClose, payload));
  }

  // Ends the connection without a word.
  void kill() { ::shutdown(descriptor_, SHUT_RDWR); }

  // False when the connection is over.
  bool on_readable();

 private:
  void shake_hands();
  bool on_text(std::span<char> message) override;

  bool on_binary(std::span<char>) override { return true; }

  bool on_ping(std::string_view) override { return true; }

  bool on_pong(std::string_view) override { return true; }

  bool on_close(ws::CloseCode code, std::string_view) override;

  ClientTestServer& server_;
  const int descriptor_;
  bool is_open_ = false;
  std::string head_;
  ws::FrameReader reader_{ws::Role::kServer, {}};
};

struct ServerScript {
  // Instead of the handshake's answer.
  std::function<void(ServerPeer&)> on_request;
  // A client's message; the default says yes to connect and subscribe.
  std::function<void(ServerPeer&, std::string_view)> on_text;
};

class ClientTestServer {
 public:
  explicit ClientTestServer(ServerScript script = {}) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    ::listen(listener_, 64);
    if (::pipe(wake_.data()) == 0) {
      thread_ = std::thread([this] { run(); });
    }
  }

  ClientTestServer(const ClientTestServer&) = delete;
  ClientTestServer& operator=(const ClientTestServer&) = delete;

  ~ClientTestServer() {
    is_stopping_ = true;
    post([] {});
    thread_.join();
    for (const int descriptor : {listener_, wake_[0], wake_[1]}) {
      ::close(descriptor);
    }
  }

  [[nodiscard]] std::string url() const {
    return fmt::format("ws://127.0.0.1:{}/connection/websocket", port_);
  }

  // Runs `task` with each open connection on the server's thread.
  void each_peer(std::function<void(ServerPeer&)> task) {
    post([this, task = std::move(task)] {
      for (const auto& [descriptor, peer] : peers_) {
        task(*peer);
      }
    });
  }

  [[nodiscard]] int handshakes() const { return handshakes_; }

  [[nodiscard]] int last_close_code() const { return close_code_; }

  // The default answers.
  static void answer(ServerPeer& peer, std::string_view message) {
    while (!message.empty()) {
      const std::string_view line = message.substr(0, message.find('\n'));
      message.remove_prefix(std::min(message.size(), line.size() + 1));
      const std::string id(line.substr(0, line.find(',')));  // {"id":7
      if (line.contains("\"connect\":")) {
        peer.say(id + R"(,"connect":{"client":"c","version":"test","ping":25,"pong":true}})");
      } else if (line.contains("\"subscribe\":")) {
        peer.say(id + R"(,"subscribe":{"recoverable":true,"positioned":true,"epoch":"e"}})");
      } else if (line.contains("\"publish\":")) {
        peer.say(id + R"(,"publish":{}})");
      } else if (line.contains("\"unsubscribe\":")) {
        peer.say(id + R"(,"unsubscribe":{}})");
      }
    }
  }

 private:
  friend class ServerPeer;

  void post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    const char byte = 0;
    [[maybe_unused]] const ssize_t woken = ::write(wake_[1], &byte, 1);
  }

  void run() {
    while (!is_stopping_) {
      std::vector<pollfd> waiting{{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
      for (const auto& [descriptor, peer] : peers_) {
        waiting.push_back({descriptor, POLLIN, 0});
      }
      ::poll(waiting.data(), waiting.size(), -1);
      for (std::size_t i = 2; i < waiting.size(); ++i) {
        if (waiting[i].revents != 0 && !peers_.at(waiting[i].fd)->on_readable()) {
          peers_.erase(waiting[i].fd);
        }
      }
      if (waiting[0].revents != 0) {
        const int descriptor = ::accept(listener_, nullptr, nullptr);
        peers_[descriptor] = std::make_unique<ServerPeer>(*this, descriptor);
      }
      if (waiting[1].revents != 0) {
        run_tasks();
      }
    }
    peers_.clear();
  }

  void run_tasks() {
    std::array<char, 64> bytes{};
    [[maybe_unused]] const ssize_t got = ::read(wake_[0], bytes.data(), bytes.size());
    std::vector<std::function<void()>> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) {
      task();
    }
  }

  ServerScript script_;
  int listener_ = -1;
  std::array<int, 2> wake_{-1, -1};
  unsigned port_ = 0;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> handshakes_ = 0;
  std::atomic<int> close_code_ = 0;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  std::map<int, std::unique_ptr<ServerPeer>> peers_;
  std::thread thread_;
};

inline bool ServerPeer::on_readable() {
  std::array<char, 4096 + ws::kMessagePadding> buffer{};
  const ssize_t got = ::recv(descriptor_, buffer.data(), 4096, 0);
  if (got <= 0) {
    return false;
  }
  const auto bytes = static_cast<std::size_t>(got);
  if (is_open_) {
    return reader_.read({buffer.data(), bytes}, *this).has_value();
  }
  head_.append(buffer.data(), bytes);
  if (head_.ends_with("\r\n\r\n")) {
    shake_hands();
  }
  return true;
}

inline void ServerPeer::shake_hands() {
  is_open_ = true;
  if (server_.script_.on_request) {
    server_.script_.on_request(*this);
    return;
  }
  ++server_.handshakes_;
  const std::size_t key = head_.find("Sec-WebSocket-Key: ") + 19;
  write(
      fmt::format("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                  ws::accept_key(std::string_view(head_).substr(key, 24))));
}

inline bool ServerPeer::on_text(std::span<char> message) {
  const std::string_view text(message.data(), message.size());
  if (server_.script_.on_text) {
    server_.script_.on_text(*this, text);
  } else {
    ClientTestServer::answer(*this, text);
  }
  return true;
}

inline bool ServerPeer::on_close(ws::CloseCode code, std::string_view) {
  server_.close_code_ = code;
  write(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, {})));
  kill();
  return false;
}

}  // namespace trunkline::net
