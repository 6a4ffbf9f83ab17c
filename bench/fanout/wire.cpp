// SPDX-License-Identifier: Apache-2.0
#include "fanout/wire.h"

#include "ws/frame.h"
#include "ws/handshake.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace trunkline::bench {
namespace {

constexpr std::string_view kNonce = "fan-out benchmar";  // 16 bytes
static_assert(kNonce.size() == 16);

// Zero is as good a key as any where no browser's script chooses the bytes, and
// costs the least.
constexpr ws::MaskingKey kMask{};

Result<void> failed(std::string_view what) {
  return fail(ErrorCode::kSystem, fmt::format("{}: {}", what, std::strerror(errno)));
}

Result<int> open_socket(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return std::unexpected(failed("socket").error());
  }
  const int on = 1;
  const linger reset{1, 0};
  const timeval patience{10, 0};
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const auto why = failed("connect");
    ::close(fd);
    return std::unexpected(why.error());
  }
  return fd;
}

Result<void> send_all(int fd, std::string_view bytes) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return failed("send");
  }
  return {};
}

// Reads until what came contains `wanted` and stops at `end`, so that nothing
// of it is left.
Result<void> wait_for(int fd, std::string_view wanted, std::string_view end) {
  std::string received;
  std::string piece(4096, '\0');
  while (received.find(wanted) == std::string::npos || !received.ends_with(end)) {
    const ssize_t got = ::recv(fd, piece.data(), piece.size(), 0);
    if (got <= 0) {
      return fail(ErrorCode::kProtocolError,
                  fmt::format("'{}' did not come, but: {}", wanted, received));
    }
    received.append(piece, 0, static_cast<std::size_t>(got));
  }
  return {};
}

Result<void> greet(const std::vector<int>& group, std::uint16_t port) {
  const std::string request = ws::make_request({.host = fmt::format("127.0.0.1:{}", port),
                                                .target = "/connection/websocket",
                                                .subprotocols = {},
                                                .origin = {}},
                                               kNonce);
  static constexpr std::string_view kKeyField = "Sec-WebSocket-Key: ";
  const std::size_t key = request.find(kKeyField) + kKeyField.size();
  const std::string accept = ws::accept_key(request.substr(key, request.find('\r', key) - key));
  for (const int fd : group) {
    if (const auto sent = send_all(fd, request); !sent.has_value()) {
      return sent;
    }
  }
  for (const int fd : group) {
    if (const auto accepted = wait_for(fd, accept, "\r\n\r\n"); !accepted.has_value()) {
      return accepted;
    }
  }
  return {};
}

Result<void> subscribe(const std::vector<int>& group, bool last_only_connects,
                       std::string_view channel) {
  const std::string connect =
      ws::make_masked_frame(ws::Opcode::kText, R"({"id":1,"connect":{}})", kMask);
  const std::string both =
      connect + ws::make_masked_frame(
                    ws::Opcode::kText,
                    fmt::format(R"({{"id":2,"subscribe":{{"channel":"{}"}}}})", channel), kMask);
  const auto only_connects = [&](std::size_t i) {
    return last_only_connects && i + 1 == group.size();
  };
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (const auto sent = send_all(group[i], only_connects(i) ? connect : both);
        !sent.has_value()) {
      return sent;
    }
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    const std::string_view wanted = only_connects(i) ? R"("connect":{)" : R"("subscribe":{)";
    if (const auto answered = wait_for(group[i], wanted, "}}"); !answered.has_value()) {
      return answered;
    }
  }
  return {};
}

// The digits behind `name`.
std::optional<std::uint64_t> number_behind(std::string_view line, std::string_view name) {
  const std::size_t at = line.find(name);
  std::uint64_t number = 0;
  if (at == std::string_view::npos ||
      std::from_chars(line.data() + at + name.size(), line.data() + line.size(), number).ec !=
          std::errc{}) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

Result<std::vector<int>> open_group(std::uint16_t port, std::size_t count, bool last_only_connects,
                                    std::string_view channel) {
  std::vector<int> group;
  Result<void> done;
  while (done.has_value() && group.size() < count) {
    if (const auto fd = open_socket(port); fd.has_value()) {
      group.push_back(*fd);
    } else {
      done = std::unexpected(fd.error());
    }
  }
  if (done.has_value()) {
    done = greet(group, port);
  }
  if (done.has_value()) {
    done = subscribe(group, last_only_connects, channel);
  }
  if (!done.has_value()) {
    for (const int fd : group) {
      ::close(fd);
    }
    return std::unexpected(done.error());
  }
  return group;
}

void append_publish(std::string& out, std::string_view channel, std::uint64_t number,
                    std::uint64_t sent_ns, std::size_t bytes) {
  std::string data = fmt::format("{}:{}:", number, sent_ns);
  data.resize(std::max(data.size(), bytes - 2), 'x');
  // Ids from 10 on: 1 and 2 were connect's and subscribe's.
  const std::string command = fmt::format(R"({{"id":{},"publish":{{"channel":"{}","data":"{}"}}}})",
                                          10 + number % 1'000'000'000, channel, data);
  out += ws::make_masked_frame(ws::Opcode::kText, command, kMask);
}

std::optional<Push> parse_push(std::string_view line) {
  const auto number = number_behind(line, R"("data":")");
  const auto offset = number_behind(line, R"("offset":)");
  if (!number.has_value() || !offset.has_value()) {
    return std::nullopt;
  }
  return Push{*number, *offset};
}

}  // namespace trunkline::bench
