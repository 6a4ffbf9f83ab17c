// SPDX-License-Identifier: Apache-2.0
#include "floor/floor.h"

#include "floor/shared_log.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {
namespace {

constexpr std::size_t kReadBytes = 256UL * 1024;
constexpr std::size_t kNotSubscribed = SIZE_MAX;

[[noreturn]] void die(std::string_view what) {
  fmt::print(stderr, "{}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

// The text between `before` and the next `end` character, empty when there is
// none.
std::string_view between(std::string_view text, std::string_view before, char end) {
  const auto start = text.find(before);
  if (start == std::string_view::npos) {
    return {};
  }
  const auto from = start + before.size();
  return text.substr(from, text.find(end, from) - from);
}

std::string_view header_field(std::string_view request, std::string_view name) {
  for (auto at = request.find("\r\n"); at != std::string_view::npos;
       at = request.find("\r\n", at + 2)) {
    const auto line = request.substr(at + 2, request.find("\r\n", at + 2) - at - 2);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.data(), name.data(), name.size()) == 0) {
      const auto value = line.substr(name.size() + 1);
      const auto first = value.find_first_not_of(' ');
      return first == std::string_view::npos ? std::string_view{} : value.substr(first);
    }
  }
  return {};
}

// What is kept of a connection beside its place among the subscribers.
struct Connection {
  int fd = -1;
  bool upgraded = false;
  std::size_t subscriber = kNotSubscribed;
  std::string unread;   // an unfinished request or frame
  std::string replies;  // of this turn
};

// One that is sent slices: all that the end of a turn touches.
struct Subscriber {
  int fd = -1;
  bool stalled = false;  // its socket is full: waits for EPOLLOUT
  std::uint64_t cursor = 0;
};

class Floor {
 public:
  Floor(SliceSender& sender, std::uint16_t port);
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;
  void run();

 private:
  void watch(int fd, std::uint32_t events, int operation);
  void accept_all();
  void close(Connection& connection);
  void on_readable(Connection& connection);
  std::size_t on_request(Connection& connection, std::string_view bytes);
  std::size_t on_frames(Connection& connection, std::span<char> bytes);
  void on_command(Connection& connection, std::string_view command);
  void append(std::string_view channel, std::string_view data, int publisher);
  void on_writable(Connection& connection);
  void flush_replies();
  void flush_slices();
  void settle(std::size_t subscriber, const Slice& slice);

  SliceSender& sender_;
  int listener_ = -1;
  int poll_ = -1;
  int signals_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  std::vector<Subscriber> subscribers_;
  std::vector<int> to_reply_;
  std::vector<int> to_close_;
  std::vector<char> read_buffer_ = std::vector<char>(kReadBytes);
  std::vector<Slice> slices_;
  std::vector<std::size_t> owners_;  // of slices_: indices into subscribers_
  SharedLog log_;
  std::uint64_t flushed_ = 0;  // the log's head at the end of the last turn
  std::uint64_t offset_ = 0;
};

Floor::Floor(SliceSender& sender, std::uint16_t port) : sender_(sender) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  signals_ = ::signalfd(-1, &ending, SFD_CLOEXEC);
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  // The C interface wants the general type; the address is only read or filled
  // in.
  auto* general = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, general, length) != 0 || ::listen(listener_, SOMAXCONN) != 0 ||
      ::getsockname(listener_, general, &length) != 0) {
    die("listen");
  }
  watch(listener_, EPOLLIN, EPOLL_CTL_ADD);
  watch(signals_, EPOLLIN, EPOLL_CTL_ADD);
  fmt::print("listening on http://127.0.0.1:{}\n", ntohs(address.sin_port));
  std::fflush(stdout);
}

void Floor::watch(int fd, std::uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(poll_, operation, fd, &event) != 0) {
    die("epoll_ctl");
  }
}

void Floor::run() {
  std::array<epoll_event, 512> events{};
  while (true) {
    const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == signals_) {
        return;
      }
      if (event.data.fd == listener_) {
        accept_all();
        continue;
      }
      Connection& connection = *connections_[static_cast<std::size_t>(event.data.fd)];
      if ((event.events & EPOLLOUT) != 0) {
        on_writable(connection);
      }
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable(connection);
      }
    }
    flush_replies();
    flush_slices();
    for (const int fd : to_close_) {
      close(*connections_[static_cast<std::size_t>(fd)]);
    }
    to_close_.clear();
  }
}

void Floor::accept_all() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == ECONNABORTED) {
        return;
      }
      die("accept");
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto index = static_cast<std::size_t>(fd);
    if (connections_.size() <= index) {
      connections_.resize(index + 1);
    }
    connections_[index] = std::make_unique<Connection>();
    connections_[index]->fd = fd;
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
  }
}

// A descriptor may be listed twice; the second time its fd is already -1.
void Floor::close(Connection& connection) {
  if (connection.fd < 0) {
    return;
  }
  if (connection.subscriber != kNotSubscribed) {
    const Subscriber last = subscribers_.back();
    connections_[static_cast<std::size_t>(last.fd)]->subscriber = connection.subscriber;
    subscribers_[connection.subscriber] = last;
    subscribers_.pop_back();
  }
  ::close(connection.fd);
  connection.fd = -1;
}

void Floor::on_readable(Connection& connection) {
  const auto kept = connection.unread.size();
  if (kept > kReadBytes / 2) {
    to_close_.push_back(connection.fd);
    return;
  }
  std::memcpy(read_buffer_.data(), connection.unread.data(), kept);
  const ssize_t got = ::recv(connection.fd, read_buffer_.data() + kept, kReadBytes - kept, 0);
  if (got <= 0) {
    if (got == 0 || errno != EAGAIN) {
      to_close_.push_back(connection.fd);
    }
    return;
  }
  const std::span<char> bytes(read_buffer_.data(), kept + static_cast<std::size_t>(got));
  std::size_t taken = 0;
  if (!connection.upgraded) {
    taken = on_request(connection, {bytes.data(), bytes.size()});
  }
  if (connection.upgraded) {
    taken += on_frames(connection, bytes.subspan(taken));
  }
  connection.unread.assign(bytes.data() + taken, bytes.size() - taken);
}

std::size_t Floor::on_request(Connection& connection, std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    return 0;
  }
  const auto key = header_field(bytes.substr(0, end + 2), "Sec-WebSocket-Key");
  connection.replies = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
      "websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n\r\n",
      ws::accept_key(key));
  to_reply_.push_back(connection.fd);
  connection.upgraded = true;
  return end + 4;
}

// Returns the bytes of whole frames. Believes that every frame is masked and
// final.
std::size_t Floor::on_frames(Connection& connection, std::span<char> bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= 6) {
    const auto byte = [&](std::size_t i) {
      return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at + i]));
    };
    std::size_t header = 6;
    std::size_t size = byte(1) & 0x7F;
    if (size == 126) {
      header = 8;
      size = byte(2) << 8 | byte(3);
    } else if (size == 127) {
      to_close_.push_back(connection.fd);
      return bytes.size();
    }
    if (bytes.size() - at < header + size) {
      break;
    }
    ws::MaskingKey key{};
    std::memcpy(key.data(), bytes.data() + at + header - key.size(), key.size());
    const auto payload = bytes.subspan(at + header, size);
    ws::apply_mask(payload, key);
    const auto opcode = static_cast<ws::Opcode>(byte(0) & 0x0F);
    if (opcode == ws::Opcode::kClose) {
      to_close_.push_back(connection.fd);
    } else if (opcode == ws::Opcode::kText) {
      std::string_view message(payload.data(), payload.size());
      while (!message.empty()) {
        const auto line = message.substr(0, message.find('\n'));
        on_command(connection, line);
        message.remove_prefix(std::min(message.size(), line.size() + 1));
      }
    }
    at += header + size;
  }
  return at;
}

void Floor::on_command(Connection& connection, std::string_view command) {
  const auto id = between(command, "\"id\":", ',');
  std::string reply;
  if (command.find("\"publish\":{") != std::string_view::npos) {
    append(between(command, "\"channel\":\"", '"'), between(command, "\"data\":\"", '"'),
           connection.fd);
    reply = fmt::format(R"({{"id":{},"publish":{{}}}})", id);
  } else if (command.find("\"subscribe\":{") != std::string_view::npos) {
    if (connection.subscriber == kNotSubscribed) {
      connection.subscriber = subscribers_.size();
      subscribers_.push_back({connection.fd, false, log_.head()});
    }
    reply = fmt::format(
        R"({{"id":{},"subscribe":{{"recoverable":true,"epoch":"floor","offset":{},"positioned":true}}}})",
        id, offset_);
  } else if (command.find("\"connect\":{") != std::string_view::npos) {
    reply = fmt::format(
        R"({{"id":{},"connect":{{"client":"00000000-0000-4000-8000-{:012}","version":"floor"}}}})",
        id, connection.fd);
  } else {
    return;
  }
  if (connection.replies.empty()) {
    to_reply_.push_back(connection.fd);
  }
  connection.replies += ws::make_frame(ws::Opcode::kText, reply);
}

// Frames a publication as the server does: with the publisher's info, which the
// protocol puts into every publication that a client sent.
void Floor::append(std::string_view channel, std::string_view data, int publisher) {
  std::array<char, 64UL * 1024> payload;
  const auto end = fmt::format_to_n(
      payload.data(), payload.size(),
      R"({{"push":{{"channel":"{}","pub":{{"data":"{}","info":{{"user":"","client":"00000000-0000-4000-8000-{:012}"}},"offset":{}}}}}}})",
      channel, data, publisher, ++offset_);
  const auto size = std::min(end.size, payload.size());
  char* tail = log_.tail();
  const auto header = ws::write_frame_header(tail, ws::Opcode::kText, size);
  std::memcpy(tail + header, payload.data(), size);
  log_.advance(header + size);
}

void Floor::flush_replies() {
  for (const int fd : to_reply_) {
    Connection& connection = *connections_[static_cast<std::size_t>(fd)];
    // A reply is some dozen bytes; a client that leaves so many unread that
    // they do not fit, or that asks while its slice is cut short, is not the
    // load that this program is for.
    const bool stalled =
        connection.subscriber != kNotSubscribed && subscribers_[connection.subscriber].stalled;
    const auto size = static_cast<ssize_t>(connection.replies.size());
    if (stalled || ::send(fd, connection.replies.data(), connection.replies.size(),
                          MSG_NOSIGNAL | MSG_DONTWAIT) != size) {
      to_close_.push_back(fd);
    }
    connection.replies.clear();
  }
  to_reply_.clear();
}

void Floor::flush_slices() {
  if (flushed_ == log_.head()) {
    return;
  }
  flushed_ = log_.head();
  const auto batch = sender_.slices_max();
  for (std::size_t next = 0; next < subscribers_.size();) {
    slices_.clear();
    owners_.clear();
    for (; next < subscribers_.size() && slices_.size() < batch; ++next) {
      const Subscriber& subscriber = subscribers_[next];
      if (!subscriber.stalled) {
        slices_.push_back(
            {subscriber.fd, log_.at(subscriber.cursor), log_.head() - subscriber.cursor, 0});
        owners_.push_back(next);
      }
    }
    sender_.send(slices_);
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      settle(owners_[i], slices_[i]);
    }
  }
}

// Moves the cursor by what the socket took, and waits for room when that was
// not all.
void Floor::settle(std::size_t index, const Slice& slice) {
  Subscriber& subscriber = subscribers_[index];
  if (slice.result < 0 && slice.result != -EAGAIN) {
    to_close_.push_back(subscriber.fd);
    return;
  }
  subscriber.cursor += slice.result > 0 ? static_cast<std::uint64_t>(slice.result) : 0;
  const bool stalled = subscriber.cursor != log_.head();
  if (stalled != subscriber.stalled) {
    watch(subscriber.fd, stalled ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    subscriber.stalled = stalled;
  }
}

void Floor::on_writable(Connection& connection) {
  if (connection.subscriber == kNotSubscribed) {
    return;
  }
  const Subscriber& subscriber = subscribers_[connection.subscriber];
  const auto owed = log_.head() - subscriber.cursor;
  if (owed > SharedLog::kCapacity / 2) {
    to_close_.push_back(connection.fd);  // the ring has, or soon will have, overtaken it
    return;
  }
  std::array<Slice, 1> slice{{{subscriber.fd, log_.at(subscriber.cursor), owed, 0}}};
  sender_.send(slice);
  settle(connection.subscriber, slice[0]);
}

std::uint16_t port_argument(int argc, char** argv) {
  std::uint16_t port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view text(argv[i + 1]);
    if (std::string_view(argv[i]) == "--port") {
      std::from_chars(text.data(), text.data() + text.size(), port);
    }
  }
  return port;
}

}  // namespace

int run_floor(int argc, char** argv, SliceSender& sender) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  Floor floor(sender, port_argument(argc, argv));
  floor.run();
  return 0;
}

}  // namespace trunkline::bench
