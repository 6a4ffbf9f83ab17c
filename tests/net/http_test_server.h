// SPDX-License-Identifier: Apache-2.0
//
// An HTTP server that a test scripts connection by connection: each has a thread of its own that
// runs the script with blocking calls. Real sockets on the loopback, any free port.
#pragma once

#include "net/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::net {

// Thread: the script's.
class HttpTestConnection {
 public:
  HttpTestConnection(int descriptor, int place, std::shared_ptr<const TlsContext> tls)
      : number(place), descriptor_(descriptor) {
    if (tls) {
      tls_ = std::make_unique<TlsStream>(std::move(tls));
    }
  }

  // A whole request, head and body; empty when the client has closed.
  std::string read_request() {
    for (;;) {
      const std::size_t head = received_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t end = head + 4 + length_of(received_.substr(0, head));
        if (received_.size() >= end) {
          std::string request = received_.substr(0, end);
          received_.erase(0, end);
          return request;
        }
      }
      if (!receive()) {
        return {};
      }
    }
  }

  // Returns when the client has closed.
  void wait_closed() {
    while (receive()) {
    }
  }

  void write(std::string_view bytes) {
    if (tls_) {
      if (!tls_->encrypt({&bytes, 1})) {
        return;
      }
      flush_tls();
    } else {
      write_raw(bytes);
    }
  }

  // Says that nothing follows, where that can be said.
  void end() {
    if (tls_) {
      tls_->close();
      flush_tls();
    }
    ::shutdown(descriptor_, SHUT_WR);
  }

  const int number;  // of the server's connections, from 1

 private:
  static std::size_t length_of(std::string_view head) {
    static constexpr std::string_view kName = "Content-Length: ";
    const std::size_t at = head.find(kName);
    std::size_t length = 0;
    if (at != std::string_view::npos) {
      const std::string_view text = head.substr(at + kName.size());
      std::from_chars(text.data(), text.data() + text.size(), length);
    }
    return length;
  }

  bool receive() {
    std::array<char, 16384> buffer{};
    const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      return false;
    }
    const std::span<const char> bytes(buffer.data(), static_cast<std::size_t>(got));
    if (!tls_) {
      received_.append(bytes.data(), bytes.size());
      return true;
    }
    std::array<char, 16384> plain{};
    const bool goes_on = tls_->receive(bytes, plain, [this](std::span<char> said) {
      received_.append(said.data(), said.size());
      return true;
    });
    flush_tls();
    return goes_on;
  }

  void flush_tls() {
    write_raw(tls_->pending());
    tls_->sent(tls_->pending().size());
  }

  void write_raw(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  const int descriptor_;
  std::unique_ptr<TlsStream> tls_;
  std::string received_;
};

class HttpTestServer {
 public:
  using Script = std::function<void(HttpTestConnection&)>;

  // The connection is closed when its script returns.
  explicit HttpTestServer(Script script, std::shared_ptr<const TlsContext> tls = nullptr)
      : script_(std::move(script)), tls_(std::move(tls)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept(); });
  }

  HttpTestServer(const HttpTestServer&) = delete;
  HttpTestServer& operator=(const HttpTestServer&) = delete;

  ~HttpTestServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (const int descriptor : open_) {
        ::shutdown(descriptor, SHUT_RDWR);
      }
    }
    for (std::thread& thread : connections_) {
      thread.join();
    }
  }

  [[nodiscard]] std::string url(std::string_view path = "/hook") const {
    return fmt::format("{}://127.0.0.1:{}{}", tls_ ? "https" : "http", port_, path);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  void accept() {
    int number = 0;
    for (;;) {
      const int descriptor = ::accept(listener_, nullptr, nullptr);
      if (descriptor < 0) {
        return;
      }
      {
        const std::lock_guard lock(mutex_);
        open_.push_back(descriptor);
      }
      connections_.emplace_back([this, descriptor, number = ++number] {
        {
          HttpTestConnection connection(descriptor, number, tls_);
          script_(connection);
        }
        const std::lock_guard lock(mutex_);
        std::erase(open_, descriptor);
        ::close(descriptor);
      });
    }
  }

  const Script script_;
  const std::shared_ptr<const TlsContext> tls_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<int> open_;                 // with mutex_
  std::vector<std::thread> connections_;  // of thread_, then of the end
};

// An answer with a length.
inline std::string http_answer(std::string_view body, std::string_view status = "200 OK") {
  return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

inline std::string http_chunk(std::string_view text) {
  return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
}

inline constexpr std::string_view kChunkedHead =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace trunkline::net
