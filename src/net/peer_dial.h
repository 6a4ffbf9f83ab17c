// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/peers.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <string_view>

namespace trunkline::net {

[[nodiscard]] PeerEndpoint peer_endpoint(const boost::asio::ip::tcp::endpoint& endpoint);
[[nodiscard]] boost::asio::ip::tcp::endpoint tcp_endpoint(const PeerEndpoint& endpoint);

// Dials TCP, until it answers or the function that it returns is called. Thread: the loop's.
[[nodiscard]] std::move_only_function<void()> dial_tcp(boost::asio::io_context& io,
                                                       const PeerEndpoint& endpoint,
                                                       PeerDialDone done);

// Asks the system's resolver. Thread: the loop's; answers there.
void resolve_name(boost::asio::io_context& io, std::string_view host, std::uint16_t port,
                  PeerResolveDone done);

}  // namespace trunkline::net
