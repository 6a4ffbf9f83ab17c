// SPDX-License-Identifier: Apache-2.0
#include "net/listener.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
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

Listener::Listener(asio::io_context& io, Accepted accepted,
                   std::function<void(std::string_view)> log)
    : acceptor_(io), pause_(io), accepted_(std::move(accepted)), log_(std::move(log)) {}

Result<std::uint16_t> Listener::open(const std::string& address, std::uint16_t port) {
  boost::system::error_code error;
  const asio::ip::address parsed = asio::ip::make_address(address, error);
  if (error) {
    return fail(ErrorCode::kSystem, fmt::format("'{}' is not an IP address to listen on", address));
  }
  const asio::ip::tcp::endpoint endpoint(parsed, port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) {
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) {
    acceptor_.bind(endpoint, error);
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
  return acceptor_.local_endpoint().port();
}

void Listener::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void Listener::wait() {
  acceptor_.async_wait(asio::ip::tcp::acceptor::wait_read,
                       [this](const boost::system::error_code& error) {
                         if (!error) {
                           accept_some();
                         }
                       });
}

void Listener::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int descriptor =
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      const int on = 1;
      ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      accepted_(descriptor);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      log_(fmt::format("cannot accept a connection: {}; trying again in {} ms",
                       std::generic_category().message(errno), kPause.count()));
      pause_.expires_after(kPause);
      pause_.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
          wait();
        }
      });
      return;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    }
    // Anything else (ECONNABORTED, EINTR, network errors) is that one connection's.
  }
  wait();
}

}  // namespace trunkline::net
