// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include "core/log_throttle.h"
#include "net/address_key.h"
#include "net/descriptor_reserve.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace trunkline::net {

// Accepts connections and gives them away. Thread: the loop's.
//
// Out of descriptors it gives up one of a small reserve for each connection, hands that one out as
// excess, and waits while the reserve is used up: it never spins, and goes on by itself.
class Listener {
 public:
  struct Handlers {
    // Takes over a connected, non-blocking socket.
    std::function<void(int descriptor, const AddressKey& peer)> accepted;
    // The same for one that has a descriptor of the reserve: to be closed soon, and told by
    // descriptor_closed().
    std::function<void(int descriptor, const AddressKey& peer)> excess;
    std::function<void(std::string_view)> log;
  };

  Listener(boost::asio::io_context& io, Handlers handlers);

  // Binds and listens. `unsent_bytes_max`: what the kernel takes for a connection before it sends
  // (TCP_NOTSENT_LOWAT); 0: as much as it likes. Errors: kSystem.
  [[nodiscard]] Result<std::uint16_t> open(const std::string& address, std::uint16_t port,
                                           std::size_t unsent_bytes_max);

  void start() { wait(); }

  void close();

  // Leaves those who come in the queue until go_on().
  void hold();
  void go_on();

  // The reserve may have its descriptor back.
  void descriptor_closed();

 private:
  enum class Next : std::uint8_t { kMore, kWait, kPause };

  void wait();
  // Accepts nothing for a moment. `error`: of accept().
  void pause(int error);
  void accept_some();
  // One connection, if there is one.
  Next accept_one();
  int accept(AddressKey& peer);

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  const Handlers handlers_;
  DescriptorReserve reserve_;
  LogThrottle throttle_;
  bool paused_ = false;
  bool held_ = false;
};

}  // namespace trunkline::net
