// SPDX-License-Identifier: Apache-2.0
//
// A server of one listening socket and one thread, which a test scripts: what it answers to each
// text message, and how it misbehaves. Real sockets on the loopback, any free port.
#pragma once

#include "net/tls.h"
#include "ws/deflate.h"
#include "ws/frame.h"
#include "ws/frame_reader.h"
#include "ws/handshake.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
  ServerPeer(ClientTestServer& server, int descriptor);

  ~ServerPeer() override { ::close(descriptor_); }

  // Compressed, when that was agreed.
  void say(std::string_view text) {
    write(deflate_ ? deflate_->frame(ws::Opcode::kText, text)
                   : ws::make_frame(ws::Opcode::kText, text));
  }

  // Any bytes, frames or not.
  void write(std::string_view bytes) {
    if (tls_) {
      EXPECT_TRUE(tls_->encrypt({&bytes, 1}));
      write_tls();
    } else {
      write_raw(bytes);
    }
  }

  // Bytes outside of TLS, too.
  void write_raw(std::string_view bytes) {
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
  bool received(std::span<char> bytes);
  void shake_hands();

  void write_tls() {
    const std::string pending(tls_->pending());
    tls_->sent(pending.size());
    write_raw(pending);
  }

  bool on_text(std::span<char> message) override;

  bool on_binary(std::span<char>) override { return true; }

  bool on_ping(std::string_view) override { return true; }

  bool on_pong(std::string_view) override { return true; }

  bool on_close(ws::CloseCode code, std::string_view) override;

  ClientTestServer& server_;
  const int descriptor_;
  bool is_open_ = false;
  std::string head_;
  std::unique_ptr<TlsStream> tls_;
  ws::FrameReader reader_{ws::Role::kServer, {}};
  std::unique_ptr<ws::DeflateSender> deflate_;
};

struct ServerScript {
  // Instead of the handshake's answer.
  std::function<void(ServerPeer&)> on_request;
  // A client's message; the default says yes to connect and subscribe.
  std::function<void(ServerPeer&, std::string_view)> on_text;
  // Null: plain.
  std::shared_ptr<const TlsContext> tls{};
  // What to agree to when permessage-deflate is offered; none: it is declined.
  std::optional<ws::DeflateParameters> deflate{};
  // Instead of what was agreed.
  std::string extensions{};
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

  [[nodiscard]] std::string url() const { return url("127.0.0.1"); }

  [[nodiscard]] std::string url(std::string_view host) const {
    return fmt::format("{}://{}:{}/connection/websocket", script_.tls ? "wss" : "ws", host, port_);
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

  // Waits for a Close frame of a client's.
  [[nodiscard]] int wait_for_close() const {
    close_code_.wait(0);
    return close_code_;
  }

  // Waits until a client's TLS has ended; says how, empty for in order (close_notify).
  [[nodiscard]] std::string wait_for_tls_end() {
    std::unique_lock lock(mutex_);
    tls_ended_.wait(lock, [this] { return tls_end_.has_value(); });
    return *tls_end_;
  }

  // All that clients have sent, as it was on the wire.
  [[nodiscard]] std::size_t bytes_received() const { return bytes_received_; }

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

  void end_tls(std::string how) {
    const std::lock_guard lock(mutex_);
    tls_end_ = std::move(how);
    tls_ended_.notify_all();
  }

  ServerScript script_;
  ws::DeflateScratch scratch_{ws::CompressionSettings{}};
  int listener_ = -1;
  std::array<int, 2> wake_{-1, -1};
  unsigned port_ = 0;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> handshakes_ = 0;
  std::atomic<int> close_code_ = 0;
  std::atomic<std::size_t> bytes_received_ = 0;
  std::mutex mutex_;
  std::condition_variable tls_ended_;
  std::optional<std::string> tls_end_;
  std::vector<std::function<void()>> tasks_;
  std::map<int, std::unique_ptr<ServerPeer>> peers_;
  std::thread thread_;
};

inline ServerPeer::ServerPeer(ClientTestServer& server, int descriptor)
    : server_(server),
      descriptor_(descriptor),
      tls_(server.script_.tls ? std::make_unique<TlsStream>(server.script_.tls) : nullptr) {}

inline bool ServerPeer::on_readable() {
  std::array<char, 4096 + ws::kMessagePadding> buffer{};
  const ssize_t got = ::recv(descriptor_, buffer.data(), 4096, 0);
  if (got <= 0) {
    if (tls_) {
      server_.end_tls("cut off");
    }
    return false;
  }
  const auto bytes = static_cast<std::size_t>(got);
  server_.bytes_received_ += bytes;
  if (!tls_) {
    return received({buffer.data(), bytes});
  }
  std::array<char, 4096 + ws::kMessagePadding> said{};
  bool is_good = true;
  const bool goes_on = tls_->receive({buffer.data(), bytes}, {said.data(), 4096},
                                     [this, &is_good](std::span<char> piece) {
                                       is_good = received(piece);
                                       return is_good;
                                     });
  write_tls();
  if (!goes_on) {
    server_.end_tls(tls_->failure());
  }
  return goes_on && is_good;
}

inline bool ServerPeer::received(std::span<char> bytes) {
  if (is_open_) {
    return reader_.read(bytes, *this).has_value();
  }
  head_.append(bytes.data(), bytes.size());
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
  const auto field = [this](std::string_view name) {
    const std::size_t at = head_.find(name);
    return at == std::string::npos
               ? std::string_view{}
               : std::string_view(head_).substr(at + name.size(),
                                                head_.find("\r\n", at) - at - name.size());
  };
  std::string extensions = server_.script_.extensions;
  const std::string_view offer = field("Sec-WebSocket-Extensions: ");
  if (server_.script_.deflate.has_value() && !offer.empty()) {
    const auto agreed = ws::accept_deflate(offer, *server_.script_.deflate);
    EXPECT_TRUE(agreed.has_value() && agreed->has_value()) << offer;
    extensions = (*agreed)->answer;
    reader_.use_deflate((*agreed)->parameters, server_.scratch_);
    deflate_ = std::make_unique<ws::DeflateSender>(ws::Role::kServer, (*agreed)->parameters,
                                                   server_.scratch_);
  }
  if (!extensions.empty()) {
    extensions = "Sec-WebSocket-Extensions: " + extensions + "\r\n";
  }
  write(
      fmt::format("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{}\r\n",
                  ws::accept_key(field("Sec-WebSocket-Key: ")), extensions));
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
  write(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, {})));
  if (tls_) {
    tls_->close();
    write_tls();
  } else {
    kill();
  }
  server_.close_code_ = code;
  server_.close_code_.notify_all();
  return false;
}

}  // namespace trunkline::net
