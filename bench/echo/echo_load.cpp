// SPDX-License-Identifier: Apache-2.0
#include "echo/echo_load.h"

#include "load/wire.h"
#include "ws/frame.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ranges>
#include <utility>

namespace trunkline::bench {
namespace {

// Not zero: the work of unmasking is part of what is measured.
constexpr ws::MaskingKey kKey{0x5a, 0xa5, 0x3c, 0xc3};
constexpr std::size_t kReadBytes = 64UL * 1024;

}  // namespace

EchoLoad::EchoLoad(std::uint16_t port, Exchange exchange)
    : port_(port),
      exchange_(std::move(exchange)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      buffer_(kReadBytes) {
  auto ring = net::make_ring_sender();
  sender_ = ring.has_value() ? std::move(*ring) : net::make_direct_sender();
}

EchoLoad::~EchoLoad() {
  for (const Client& client : clients_) {
    ::close(client.fd);
  }
  ::close(poll_);
}

Result<void> EchoLoad::greet(int fd) const {
  const std::string hello = ws::make_masked_frame(ws::Opcode::kText, exchange_.hello, kKey);
  std::array<char, 4096> reply;
  if (!send_all(fd, hello).has_value() || receive(fd, reply) <= 0) {
    return fail(ErrorCode::kSystem, "no reply to the first request");
  }
  return {};
}

Result<void> EchoLoad::connect(std::size_t connections) {
  const auto sockets = open_websockets({.port = port_}, connections);
  if (!sockets.has_value()) {
    return std::unexpected(sockets.error());
  }
  const std::string request = ws::make_masked_frame(ws::Opcode::kText, exchange_.request, kKey);
  const std::string reply = ws::make_frame(ws::Opcode::kText, exchange_.reply);
  clients_.reserve(connections);  // pointers to them are kept
  for (const int fd : *sockets) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = clients_.size();
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
    clients_.push_back({.fd = fd, .request = request, .reply = reply, .span = {}});
  }
  for (const Client& client : clients_) {
    if (const auto greeted = exchange_.hello.empty() ? Result<void>{} : greet(client.fd);
        !greeted.has_value()) {
      return greeted;
    }
  }
  for (Client& client : clients_) {
    begin(client);
  }
  return {};
}

// Writes the next number into both frames and lists the client for sending.
void EchoLoad::begin(Client& client) {
  ++client.number;
  client.received = 0;
  std::array<char, Exchange::kNumber.size()> digits;
  std::uint64_t rest = 100'000'000 + client.number % 800'000'000;
  for (char& digit : std::views::reverse(digits)) {
    digit = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
  const std::size_t in_reply = exchange_.reply.find(Exchange::kNumber);
  std::memcpy(client.reply.data() + client.reply.size() - exchange_.reply.size() + in_reply,
              digits.data(), digits.size());
  const std::size_t in_request = exchange_.request.find(Exchange::kNumber);
  ws::apply_mask(digits, kKey, in_request);
  std::memcpy(client.request.data() + client.request.size() - exchange_.request.size() + in_request,
              digits.data(), digits.size());
  to_send_.push_back(&client);
}

void EchoLoad::flush() {
  const std::uint64_t now = now_ns();
  for (std::size_t done = 0; done < to_send_.size();) {
    const std::size_t count = std::min(sender_->batch_max(), to_send_.size() - done);
    sends_.clear();
    for (std::size_t i = done; i < done + count; ++i) {
      Client& client = *to_send_[i];
      client.sent_ns = now;
      client.span = client.request;
      sends_.push_back({.descriptor = client.fd, .spans = {&client.span, 1}, .result = 0});
    }
    sender_->send(sends_);
    for (const net::Send& send : sends_) {
      if (send.result != static_cast<ssize_t>(send.spans[0].size())) {
        defect_ = "the subject does not take a request";
      }
    }
    done += count;
  }
  to_send_.clear();
}

void EchoLoad::on_readable(Client& client) {
  const ssize_t got = ::recv(client.fd, buffer_.data(), kReadBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  const auto size = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  if (size == 0 || size > client.reply.size() - client.received ||
      std::memcmp(buffer_.data(), client.reply.data() + client.received, size) != 0) {
    defect_ = fmt::format("a lost connection or a wrong reply: {}",
                          std::string_view(buffer_.data(), size));
    return;
  }
  client.received += size;
  if (client.received == client.reply.size()) {
    ++result_.round_trips;
    result_.latency.add(now_ns() - client.sent_ns);
    begin(client);
  }
}

Result<EchoResult> EchoLoad::run(std::chrono::duration<double> time) {
  result_ = {};
  const auto began = Clock::now();
  const auto end = began + std::chrono::duration_cast<Clock::duration>(time);
  auto now = began;
  std::array<epoll_event, 256> events;
  while (now < end && defect_.empty()) {
    flush();
    const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), 50);
    for (int i = 0; i < count; ++i) {
      on_readable(clients_[events[static_cast<std::size_t>(i)].data.u64]);
    }
    now = Clock::now();
  }
  if (!defect_.empty()) {
    return fail(ErrorCode::kProtocolError, defect_);
  }
  result_.seconds = std::chrono::duration<double>(now - began).count();
  return result_;
}

}  // namespace trunkline::bench
