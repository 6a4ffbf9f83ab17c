// SPDX-License-Identifier: Apache-2.0
#include "net/peer_dial.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

Result<std::shared_ptr<PeerConnection>> taken_over(tcp::socket& socket) {
  error_code error;
  socket.non_blocking(true, error);
  if (!error) {
    socket.set_option(tcp::no_delay(true), error);
  }
  if (error) {
    return fail(ErrorCode::kSystem, "socket: " + error.message());
  }
  const int descriptor = socket.release(error);
  if (error) {
    return fail(ErrorCode::kSystem, "socket: " + error.message());
  }
  return std::make_shared<PeerSocket>(descriptor);
}

}  // namespace

PeerEndpoint peer_endpoint(const tcp::endpoint& endpoint) {
  PeerEndpoint result;
  result.port = endpoint.port();
  if (endpoint.address().is_v6()) {
    result.is_v6 = true;
    std::ranges::copy(endpoint.address().to_v6().to_bytes(), result.bytes.begin());
  } else {
    std::ranges::copy(endpoint.address().to_v4().to_bytes(), result.bytes.begin());
  }
  return result;
}

tcp::endpoint tcp_endpoint(const PeerEndpoint& endpoint) {
  if (endpoint.is_v6) {
    asio::ip::address_v6::bytes_type bytes;
    std::ranges::copy(endpoint.bytes, bytes.begin());
    return {asio::ip::address_v6(bytes), endpoint.port};
  }
  asio::ip::address_v4::bytes_type bytes;
  std::copy_n(endpoint.bytes.begin(), bytes.size(), bytes.begin());
  return {asio::ip::address_v4(bytes), endpoint.port};
}

std::move_only_function<void()> dial_tcp(asio::io_context& io, const PeerEndpoint& endpoint,
                                         PeerDialDone done) {
  const auto socket = std::make_shared<tcp::socket>(io);
  const tcp::endpoint target = tcp_endpoint(endpoint);
  error_code opened;
  socket->open(target.protocol(),
               opened);  // what fails here, async_connect() tries again and tells
  if (!opened) {
    // A process that this one starts has no business with it.
    ::fcntl(socket->native_handle(), F_SETFD, FD_CLOEXEC);
  }
  socket->async_connect(target, [socket, done = std::move(done)](const error_code& error) mutable {
    // Closed meanwhile: given up, although the connect had succeeded already.
    if (error || !socket->is_open()) {
      done(fail(ErrorCode::kUnavailable,
                "connect: " + (error ? error.message() : std::string("given up"))));
    } else {
      done(taken_over(*socket));
    }
  });
  return [socket] {
    error_code ignored;
    socket->close(ignored);
  };
}

void resolve_name(asio::io_context& io, std::string_view host, std::uint16_t port,
                  PeerResolveDone done) {
  const auto resolver = std::make_shared<tcp::resolver>(io);
  resolver->async_resolve(
      std::string(host), std::to_string(port),
      [resolver, name = std::string(host), done = std::move(done)](
          const error_code& error, const tcp::resolver::results_type& results) mutable {
        if (error) {
          done(fail(ErrorCode::kUnavailable, fmt::format("resolve {}: {}", name, error.message())));
          return;
        }
        std::vector<PeerEndpoint> endpoints;
        for (const auto& entry : results) {
          endpoints.push_back(peer_endpoint(entry.endpoint()));
        }
        done(std::move(endpoints));
      });
}

}  // namespace trunkline::net
