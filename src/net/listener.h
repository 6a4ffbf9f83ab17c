// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace trunkline::net {

// Accepts connections and gives them away. Out of descriptors it waits a little instead of spinning
// and goes on by itself. Thread: the loop's.
class Listener {
 public:
  // Takes over a connected, non-blocking socket.
  using Accepted = std::function<void(int descriptor)>;

  Listener(boost::asio::io_context& io, Accepted accepted,
           std::function<void(std::string_view)> log);

  // Binds and listens. Errors: kSystem.
  [[nodiscard]] Result<std::uint16_t> open(const std::string& address, std::uint16_t port);

  void start() { wait(); }

  void close();

 private:
  void wait();
  void accept_some();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  const Accepted accepted_;
  const std::function<void(std::string_view)> log_;
};

}  // namespace trunkline::net
