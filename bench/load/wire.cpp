// SPDX-License-Identifier: Apache-2.0
#include "load/wire.h"

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
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace trunkline::bench {
namespace {

constexpr std::string_view kNonce = "the benches' key";  // 16 bytes
static_assert(kNonce.size() == 16);

// Zero is as good a key as any where no browser's script chooses the bytes, and
// costs the least.
constexpr ws::MaskingKey kMask{};

constexpr std::string_view kOffset = R"("offset":)";

Result<void> failed(std::string_view what) {
  return fail(ErrorCode::kSystem, fmt::format("{}: {}", what, std::strerror(errno)));
}

// A socket that is not connected yet.
Result<int> make_socket(const Endpoint& endpoint, int flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
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
  if (endpoint.receive_bytes > 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &endpoint.receive_bytes, sizeof(int));
  }
  if (endpoint.source > 0) {
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + endpoint.source);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      const auto why = failed("bind");
      ::close(fd);
      return std::unexpected(why.error());
    }
  }
  return fd;
}

Result<int> connect_socket(const Endpoint& endpoint, int flags) {
  const Result<int> fd = make_socket(endpoint, flags);
  if (!fd.has_value()) {
    return fd;
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(*fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS && errno != EINTR) {  // interrupted, it goes on by itself
    const auto why = failed("connect");
    ::close(*fd);
    return std::unexpected(why.error());
  }
  return fd;
}

// Reads until what came contains `wanted` and stops at `end`, so that nothing of it is left.
Result<std::string> wait_for(int fd, std::string_view wanted, std::string_view end) {
  std::string received;
  std::array<char, 4096> piece;
  while (received.find(wanted) == std::string::npos || !received.ends_with(end)) {
    const ssize_t got = receive(fd, piece);
    if (got <= 0) {
      return fail(ErrorCode::kProtocolError,
                  fmt::format("'{}' did not come, but: {}; {}", wanted, received,
                              got == 0 ? "closed" : std::strerror(errno)));
    }
    received.append(piece.data(), static_cast<std::size_t>(got));
  }
  return received;
}

Result<void> greet(const std::vector<int>& group, std::uint16_t port) {
  const std::string request = upgrade_request(port);
  for (const int fd : group) {
    if (const auto sent = send_all(fd, request); !sent.has_value()) {
      return sent;
    }
  }
  for (const int fd : group) {
    const auto answer = wait_for(fd, "HTTP/1.1", "\r\n\r\n");
    if (!answer.has_value()) {
      return std::unexpected(answer.error());
    }
    if (!is_upgraded(*answer)) {
      return fail(ErrorCode::kHandshakeRefused, *answer);
    }
  }
  return {};
}

Result<void> subscribe(std::span<Opened> group, std::span<const std::string> channels) {
  for (std::size_t i = 0; i < group.size(); ++i) {
    const std::string commands =
        connect_frame() + (channels[i].empty() ? "" : subscribe_frame(channels[i]));
    if (const auto sent = send_all(group[i].fd, commands); !sent.has_value()) {
      return sent;
    }
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    const std::string_view wanted = channels[i].empty() ? R"("connect":{)" : R"("subscribe":{)";
    Result<std::string> reply = wait_for(group[i].fd, wanted, "}}");
    if (!reply.has_value()) {
      return std::unexpected(reply.error());
    }
    group[i].reply = std::move(*reply);
  }
  return {};
}

std::optional<Push> parse_publication(std::string_view text, std::size_t& at) {
  constexpr std::string_view kData = R"("data":")";
  const std::size_t data = text.find(kData, at);
  const std::size_t offset = data == std::string_view::npos ? data : text.find(kOffset, data);
  if (offset == std::string_view::npos) {
    return std::nullopt;
  }
  Push push;
  const char* end = text.data() + text.size();
  const auto number = std::from_chars(text.data() + data + kData.size(), end, push.number);
  const auto sent = std::from_chars(std::min(number.ptr + 1, end), end, push.sent_ns);
  const auto last = std::from_chars(text.data() + offset + kOffset.size(), end, push.offset);
  if (number.ec != std::errc{} || sent.ec != std::errc{} || last.ec != std::errc{}) {
    return std::nullopt;
  }
  at = static_cast<std::size_t>(last.ptr - text.data());
  return push;
}

}  // namespace

Result<int> open_socket(const Endpoint& endpoint) {
  return connect_socket(endpoint, 0);
}

Result<int> begin_socket(const Endpoint& endpoint) {
  return connect_socket(endpoint, SOCK_NONBLOCK);
}

ssize_t receive(int fd, std::span<char> out) {
  ssize_t got = 0;
  do {
    got = ::recv(fd, out.data(), out.size(), 0);
  } while (got < 0 && errno == EINTR);
  return got;
}

Result<void> send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      return failed("send");
    }
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
  return {};
}

std::string upgrade_request(std::uint16_t port) {
  // Without an error: nothing in it comes from outside.
  return *ws::make_request({.host = fmt::format("127.0.0.1:{}", port),
                            .target = "/connection/websocket",
                            .subprotocols = {},
                            .origin = {}},
                           kNonce);
}

bool is_upgraded(std::string_view answer) {
  static const std::string kAccept = [] {
    const std::string request = upgrade_request(0);
    return ws::accept_key(between(request, "Sec-WebSocket-Key: ", '\r'));
  }();
  return answer.starts_with("HTTP/1.1 101") && answer.ends_with("\r\n\r\n") &&
         answer.find(kAccept) != std::string_view::npos;
}

Result<std::vector<int>> open_websockets(const Endpoint& endpoint, std::size_t count) {
  std::vector<int> group;
  Result<void> done;
  while (done.has_value() && group.size() < count) {
    if (const auto fd = open_socket(endpoint); fd.has_value()) {
      group.push_back(*fd);
    } else {
      done = std::unexpected(fd.error());
    }
  }
  if (done.has_value()) {
    done = greet(group, endpoint.port);
  }
  if (!done.has_value()) {
    for (const int fd : group) {
      ::close(fd);
    }
    return std::unexpected(done.error());
  }
  return group;
}

Result<std::vector<Opened>> open_group(const Endpoint& endpoint,
                                       std::span<const std::string> channels) {
  const auto sockets = open_websockets(endpoint, channels.size());
  if (!sockets.has_value()) {
    return std::unexpected(sockets.error());
  }
  std::vector<Opened> group;
  for (const int fd : *sockets) {
    group.push_back({fd, {}});
  }
  if (const auto done = subscribe(group, channels); !done.has_value()) {
    for (const int fd : *sockets) {
      ::close(fd);
    }
    return std::unexpected(done.error());
  }
  return group;
}

std::string connect_frame() {
  return ws::make_masked_frame(ws::Opcode::kText, R"({"id":1,"connect":{}})", kMask);
}

std::string subscribe_frame(std::string_view channel) {
  return ws::make_masked_frame(ws::Opcode::kText,
                               fmt::format(R"({{"id":2,"subscribe":{{"channel":"{}"}}}})", channel),
                               kMask);
}

std::string recover_frame(std::string_view channel, std::string_view epoch, std::uint64_t offset) {
  return ws::make_masked_frame(
      ws::Opcode::kText,
      fmt::format(
          R"({{"id":2,"subscribe":{{"channel":"{}","recover":true,"epoch":"{}","offset":{}}}}})",
          channel, epoch, offset),
      kMask);
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

Result<void> publish_all(std::uint16_t port, std::string_view frames, std::size_t count) {
  const auto opened = open_group({.port = port}, std::vector<std::string>(1));
  if (!opened.has_value()) {
    return std::unexpected(opened.error());
  }
  const int fd = opened->front().fd;
  Result<void> done = send_all(fd, frames);
  // A reply may be cut by the end of a piece, so that its beginning is kept for the next.
  constexpr std::string_view kReply = R"("publish":{})";
  std::string received;
  std::array<char, 65536> piece;
  while (done.has_value() && count > 0) {
    const ssize_t got = receive(fd, piece);
    received.append(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    std::size_t at = 0;
    for (std::size_t next = 0; (next = received.find(kReply, at)) != std::string::npos; --count) {
      at = next + kReply.size();
    }
    if (got <= 0 || received.find("\"error\"") != std::string::npos) {
      done = fail(ErrorCode::kProtocolError, fmt::format("not published: {}", received));
    }
    received.erase(0, std::max(at, received.size() - std::min(received.size(), kReply.size() - 1)));
  }
  ::close(fd);
  return done;
}

std::optional<Push> parse_push(std::string_view line) {
  std::size_t at = 0;
  return parse_publication(line, at);
}

std::size_t for_each_publication(std::string_view reply,
                                 const std::function<void(const Push&)>& take) {
  std::size_t count = 0;
  std::size_t at = 0;
  while (const auto push = parse_publication(reply, at)) {
    take(*push);
    ++count;
  }
  return count;
}

std::string_view between(std::string_view text, std::string_view before, char end) {
  const std::size_t start = text.find(before);
  if (start == std::string_view::npos) {
    return {};
  }
  const std::size_t from = start + before.size();
  return text.substr(from, text.find(end, from) - from);
}

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

std::optional<double> read_metric(std::uint16_t port, std::string_view name) {
  const Result<int> fd = open_socket({.port = port});
  if (!fd.has_value()) {
    return std::nullopt;
  }
  std::string answer;
  std::array<char, 16384> piece;
  if (send_all(*fd, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")) {
    for (ssize_t got = 1; got > 0;) {
      got = receive(*fd, piece);
      answer.append(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
  }
  ::close(*fd);
  const std::string_view value = between(answer, fmt::format("\n{} ", name), '\n');
  return value.empty() ? std::nullopt : std::optional(std::strtod(value.data(), nullptr));
}

}  // namespace trunkline::bench
