// SPDX-License-Identifier: Apache-2.0
#include "net/listener.h"

#include "net/clock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

namespace {

constexpr int kBacklog = 4096;
// One readiness of the listening socket takes this many, so that a storm of connections does not
// starve those that exist.
constexpr int kAcceptsPerTurn = 64;
constexpr auto kPause = std::chrono::milliseconds(100);

}  // namespace

Listener::Listener(asio::io_context& io, Handlers handlers)
    : acceptor_(io), pause_(io), handlers_(std::move(handlers)) {}

Result<std::uint16_t> Listener::open(const std::string& address, std::uint16_t port,
                                     std::size_t unsent_bytes_max) {
  boost::system::error_code error;
  const asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error) {
    return fail(ErrorCode::kSystem, fmt::format("'{}' is not an IP address to listen on", address));
  }
  const asio::ip::tcp::endpoint endpoint(parsed, port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) {
    // A program that this one starts would go on listening when this one has stopped.
    ::fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) {
    acceptor_.bind(endpoint, error);
  }
  if (!error && unsent_bytes_max > 0) {
    // Accepted sockets inherit it.
    const auto bytes = static_cast<int>(unsent_bytes_max);
    ::setsockopt(acceptor_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
  }
  if (!error) {
    acceptor_.listen(kBacklog, error);
  }
  if (!error) {
    acceptor_.non_blocking(true, error);
  }
  if (error) {
    return fail(ErrorCode::kSystem,
                fmt::format("cannot listen on {} port {}: {}", address, port, error.message()));
  }
  reserve_.refill();
  return acceptor_.local_endpoint().port();
}

void Listener::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  paused_ = false;
  pause_.cancel();
}

void Listener::hold() {
  boost::system::error_code ignored;
  held_ = true;
  acceptor_.cancel(ignored);
}

void Listener::go_on() {
  if (std::exchange(held_, false) && !paused_) {
    wait();
  }
}

void Listener::wait() {
  if (held_) {
    return;
  }
  acceptor_.async_wait(asio::ip::tcp::acceptor::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (!error) {
                           accept_some();
                         }
                       });
}

void Listener::pause(int error) {
  if (const auto held_back = throttle_.pass(monotonic_now())) {
    handlers_.log(fmt::format("cannot accept a connection: {}; trying again every {} ms",
                              ::strerrordesc_np(error), kPause.count()));
  }
  paused_ = true;
  pause_.expires_after(kPause);
  pause_.async_wait([this](const boost::system::error_code& ended) {
    if (!ended && std::exchange(paused_, false)) {
      // It may have lost its descriptors to another thread.
      reserve_.refill();
      wait();
    }
  });
}

void Listener::descriptor_closed() {
  reserve_.refill();
  if (std::exchange(paused_, false)) {
    pause_.cancel();
    wait();
  }
}

void Listener::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn && !held_; ++i) {
    switch (accept_one()) {
      case Next::kMore:
        break;
      case Next::kWait:
        wait();
        return;
      case Next::kPause:
        pause(errno);
        return;
    }
  }
  wait();
}

int Listener::accept(AddressKey& peer) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int descriptor = ::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address),
                                   &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) {
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer = address_key(address);
  }
  return descriptor;
}

Listener::Next Listener::accept_one() {
  AddressKey peer;
  int descriptor = accept(peer);
  if (descriptor >= 0) {
    handlers_.accepted(descriptor, peer);
    return Next::kMore;
  }
  if ((errno == EMFILE || errno == ENFILE) && reserve_.give_up_one()) {
    descriptor = accept(peer);
    if (descriptor >= 0) {
      handlers_.excess(descriptor, peer);
      return Next::kMore;
    }
    // Another thread took the descriptor, or the client went: the errno says which.
    const int reason = errno;
    reserve_.refill();
    errno = reason;
  }
  switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return Next::kPause;
    case EAGAIN:
      return Next::kWait;
    default:
      // Anything else (ECONNABORTED, EINTR, network errors) is that one connection's.
      return Next::kMore;
  }
}

}  // namespace trunkline::net
