// SPDX-License-Identifier: Apache-2.0
#include "load/client_set.h"

#include "measure/clock.h"
#include "ws/frame.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trunkline::bench {
namespace {

constexpr std::size_t kReadBytes = 64UL * 1024;

}  // namespace

ClientSet::ClientSet(ClientOwner& owner)
    : owner_(owner),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kReadBytes + ws::kMessagePadding) {}

ClientSet::~ClientSet() {
  close_all();
  ::close(poll_);
}

void ClientSet::watch(std::size_t who, std::uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = who;
  ::epoll_ctl(poll_, operation, clients_[who].fd, &event);
}

std::size_t ClientSet::add(int fd, State state, std::uint16_t port, std::uint32_t events) {
  const std::size_t who = clients_.size();
  clients_.push_back({fd, state, port, ws::FrameReader(ws::Role::kClient, {})});
  watch(who, events, EPOLL_CTL_ADD);
  return who;
}

std::size_t ClientSet::add(int fd) {
  return add(fd, State::kOpen, 0, EPOLLIN);
}

Result<std::vector<std::string>> ClientSet::open(const Endpoint& endpoint,
                                                 std::span<const std::string> channels,
                                                 std::chrono::seconds timeout) {
  constexpr std::size_t kGroup = 128;
  const auto deadline = Clock::now() + timeout;
  std::vector<std::string> replies;
  while (replies.size() < channels.size()) {
    if (Clock::now() > deadline) {
      return fail(ErrorCode::kTimeout,
                  fmt::format("{} of {} connected", replies.size(), channels.size()));
    }
    const auto names = channels.subspan(replies.size());
    auto group = open_group(endpoint, names.first(std::min(kGroup, names.size())));
    if (!group.has_value()) {
      return std::unexpected(group.error());
    }
    for (Opened& opened : *group) {
      add(opened.fd);
      replies.push_back(std::move(opened.reply));
    }
    turn(std::chrono::milliseconds(0));  // who came first may have been pinged by now
  }
  return replies;
}

std::size_t ClientSet::add_opening(int fd, std::uint16_t port) {
  return add(fd, State::kConnecting, port, EPOLLOUT);
}

void ClientSet::listen(std::size_t who, bool on) {
  watch(who, on ? std::uint32_t{EPOLLIN} : 0U, EPOLL_CTL_MOD);
}

void ClientSet::send(std::size_t who, std::string_view frames) {
  if (::send(clients_[who].fd, frames.data(), frames.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(frames.size())) {
    owner_.on_lost(who, "the server does not take what is sent");
  }
}

void ClientSet::close_all() {
  for (const Client& client : clients_) {
    ::close(client.fd);
  }
  clients_.clear();
}

bool ClientSet::turn(std::chrono::milliseconds wait) {
  std::array<epoll_event, 256> events;
  const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(wait.count()));
  for (int i = 0; i < count; ++i) {
    on_event(events[static_cast<std::size_t>(i)].data.u64);
  }
  return count > 0;
}

void ClientSet::lost(const std::string& why) {
  if (clients_[current_].state != State::kLost) {
    clients_[current_].state = State::kLost;
    watch(current_, 0, EPOLL_CTL_DEL);
    owner_.on_lost(current_, why);
  }
}

void ClientSet::on_event(std::size_t who) {
  Client& client = clients_[who];
  current_ = who;
  if (client.state == State::kConnecting) {
    connected(client);
    return;
  }
  const ssize_t got = ::recv(client.fd, buffer_.data(), kReadBytes, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      lost(got == 0 ? "closed by the server" : std::strerror(errno));
    }
    return;
  }
  received_ns_ = now_ns();
  const std::span<char> bytes(buffer_.data(), static_cast<std::size_t>(got));
  if (client.state == State::kUpgrading) {
    upgraded(client, {bytes.data(), bytes.size()});
  } else {
    received(client, bytes);
  }
}

void ClientSet::connected(Client& client) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    lost(fmt::format("connect: {}", std::strerror(error)));
    return;
  }
  client.state = State::kUpgrading;
  watch(current_, EPOLLIN, EPOLL_CTL_MOD);
  send(current_, upgrade_request(client.port));
}

// The answer is small and written at once, so it comes in one piece, and nothing follows it before
// the client has said something.
void ClientSet::upgraded(Client& client, std::string_view answer) {
  if (!is_upgraded(answer)) {
    lost(fmt::format("no WebSocket: {}", answer));
    return;
  }
  client.state = State::kOpen;
  owner_.on_open(current_);
}

void ClientSet::received(Client& client, std::span<char> bytes) {
  if (client.reader.buffered_bytes() == 0) {
    bytes = bytes.subspan(owner_.on_frames(current_, bytes));
  }
  if (!bytes.empty()) {
    if (const auto read = client.reader.read(bytes, *this); !read.has_value()) {
      lost(read.error().context);
    }
  }
  owner_.on_received();
}

bool ClientSet::on_text(std::span<char> message) {
  const std::string_view text(message.data(), message.size());
  const bool alone = text.find('\n') == std::string_view::npos;
  const std::size_t who = current_;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    if (line == "{}") {
      send(who, ws::make_masked_frame(ws::Opcode::kText, "{}", {}));
    } else {
      owner_.on_line(who, line, alone);
    }
    at += line.size() + 1;
  }
  return true;
}

bool ClientSet::on_binary(std::span<char> /*message*/) {
  lost("a binary message");
  return false;
}

bool ClientSet::on_ping(std::string_view payload) {
  send(current_, ws::make_masked_frame(ws::Opcode::kPong, payload, {}));
  return true;
}

bool ClientSet::on_pong(std::string_view /*payload*/) {
  return true;
}

bool ClientSet::on_close(ws::CloseCode code, std::string_view reason) {
  lost(fmt::format("closed with {}: {}", code, reason));
  return false;
}

}  // namespace trunkline::bench
