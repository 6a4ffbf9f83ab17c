// SPDX-License-Identifier: Apache-2.0
//
// Two blocking sockets and two threads: what the machine can do at all. A message is its length and
// its bytes; they are sent from one buffer, read into another one, and not looked at.
#include "grid/subject.h"
#include "measure/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::bench {

namespace {

// The first word of a message; the rest is its bytes.
struct Head {
  std::uint64_t bytes = 0;
  std::uint64_t is_echoed = 0;  // otherwise it is answered with one byte
};

// False when the other side has closed.
bool read_all(int descriptor, void* to, std::size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::recv(descriptor, at, bytes, 0);
    if (got <= 0) {
      if (got < 0 && errno == EINTR) {
        continue;
      }
      return false;
    }
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

void write_all(int descriptor, const void* from, std::size_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t sent = ::send(descriptor, at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      give_up("bare: a send fails");
    }
    const std::size_t taken = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    at += taken;
    bytes -= taken;
  }
}

class BarePair final : public Subject {
 public:
  BarePair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const bound = reinterpret_cast<sockaddr*>(&address);
    client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || client_ < 0 || ::bind(listener, bound, size) != 0 ||
        ::listen(listener, 1) != 0 || ::getsockname(listener, bound, &size) != 0 ||
        ::connect(client_, bound, size) != 0 ||
        (server_ = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) < 0) {
      give_up("bare: no connection");
    }
    ::close(listener);
    const int on = 1;
    ::setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(server_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    thread_ = std::thread([this] { serve(); });
  }

  ~BarePair() override {
    ::shutdown(client_, SHUT_RDWR);
    thread_.join();
    ::close(client_);
    ::close(server_);
  }

  [[nodiscard]] std::string_view name() const override { return "bare"; }

  std::optional<CallFigures> calls(std::size_t bytes, int in_flight, Milliseconds time) override {
    if (in_flight != 1) {
      return std::nullopt;
    }
    std::vector<char> message(sizeof(Head) + bytes);
    *reinterpret_cast<Head*>(message.data()) = {bytes, 1};
    std::vector<char> echo(bytes + 1);
    Histogram times;
    const std::uint64_t began = now_ns();
    const auto ends = began + static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
    std::uint64_t now = began;
    while (now < ends) {
      write_all(client_, message.data(), message.size());
      if (!read_all(client_, echo.data(), echo.size())) {
        give_up("bare: the connection is lost");
      }
      const std::uint64_t sent = std::exchange(now, now_ns());
      times.add(now - sent);
    }
    return figures_of(times, now - began);
  }

  std::optional<double> stream(std::size_t /*bytes*/, Milliseconds /*time*/) override {
    return std::nullopt;
  }

  std::optional<double> bulk(std::size_t bytes) override {
    const std::uint64_t count = kBulkBytes / bytes;
    // As many as are sent, and freed when they are, as the grid's are: so both read from memory
    // that no cache holds and give it back.
    std::vector<std::string> prepared(count, std::string(bytes, 'x'));
    const Head head{bytes, 0};
    const std::uint64_t began = now_ns();
    std::uint64_t answered = 0;
    char answer = 0;
    for (std::uint64_t sent = 0; sent < count; ++sent) {
      if (sent - answered >= kBulkInFlight) {
        answered += read_all(client_, &answer, 1) ? 1U : 0U;
      }
      write_all(client_, &head, sizeof head);
      write_all(client_, prepared.back().data(), bytes);
      prepared.pop_back();
    }
    while (answered < count) {
      answered += read_all(client_, &answer, 1) ? 1U : 0U;
    }
    return static_cast<double>(count * bytes) * 1e9 / static_cast<double>(now_ns() - began);
  }

  std::optional<BesideFigures> beside(std::size_t /*bulk_bytes*/) override { return std::nullopt; }

 private:
  void serve() {
    std::vector<char> buffer;
    Head head;
    while (read_all(server_, &head, sizeof head)) {
      buffer.resize(std::max<std::size_t>(buffer.size(), head.bytes + 1));
      if (!read_all(server_, buffer.data(), head.bytes)) {
        return;
      }
      write_all(server_, buffer.data(), head.is_echoed != 0 ? head.bytes + 1 : 1);
    }
  }

  int client_ = -1;
  int server_ = -1;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Subject> make_bare_pair() {
  return std::make_unique<BarePair>();
}

}  // namespace trunkline::bench
