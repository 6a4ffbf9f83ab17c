// SPDX-License-Identifier: Apache-2.0
#include "grid/grid_nodes.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace trunkline::bench {

using namespace std::chrono_literals;

std::string free_address() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (descriptor < 0 ||
      ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    give_up("no free port");
  }
  ::close(descriptor);
  return fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

namespace {

Task<GridResult<void>> read_all(GridStream stream) {
  while (true) {
    const GridResult<std::optional<Bytes>> message = co_await stream.receive();
    if (!message.has_value()) {
      co_return std::unexpected(message.error());
    }
    if (!message->has_value()) {
      co_return GridResult<void>{};
    }
  }
}

}  // namespace

std::unique_ptr<GridNode> make_node(const std::string& name) {
  GridOptions options;
  options.name = name;
  options.listen = "127.0.0.1";
  options.port = static_cast<std::uint16_t>(std::stoi(name.substr(name.find(':') + 1)));
  options.handlers_max = 20'000;
  auto node = GridNode::create(options);
  if (!node.has_value()) {
    give_up(to_string(node.error()));
  }
  (*node)->handle_inline(
      "echo", [](std::string_view payload, GridReply reply) { reply.respond(Bytes(payload)); });
  (*node)->handle_inline("sink", [](std::string_view, GridReply reply) { reply.respond({}); });
  (*node)->handle_stream(
      "read", [](const GridRequest&, GridStream stream) { return read_all(std::move(stream)); });
  if (const Result<void> started = (*node)->start(); !started.has_value()) {
    give_up(to_string(started.error()));
  }
  return std::move(*node);
}

GridPeer peer_of(GridNode& node, const std::string& name) {
  Result<GridPeer> peer = node.peer(name);
  if (!peer.has_value()) {
    give_up(to_string(peer.error()));
  }
  return std::move(*peer);
}

void wait_connected(const GridPeer& peer) {
  Latch up;
  GridCallOptions options;
  options.timeout = 20s;
  options.wait_ready = true;
  peer.call("echo", "", options, [&up](const GridResult<std::string_view>& result) {
    if (!result.has_value()) {
      give_up("no connection: " + to_string(result.error()));
    }
    up.open();
  });
  up.wait();
}

std::function<bool()> is_after(Milliseconds time) {
  return [ends = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count())] {
    return now_ns() >= ends;
  };
}

GridLoad::GridLoad(GridPeer peer, std::size_t bytes, int in_flight, std::function<bool()> is_over)
    : peer_(std::move(peer)),
      payload_(bytes, 'x'),
      in_flight_(in_flight),
      is_over_(std::move(is_over)) {}

void GridLoad::start() {
  began_ = now_ns();
  open_ = in_flight_;
  for (int i = 0; i < in_flight_; ++i) {
    next();
  }
}

void GridLoad::next() {
  GridCallOptions options;
  options.timeout = 60s;
  peer_.call("echo", payload_, std::move(options),
             [this, sent = now_ns()](const GridResult<std::string_view>& result) {
               if (!result.has_value() || result->size() != payload_.size()) {
                 give_up(result.has_value() ? "an echo of another size"
                                            : "a call fails: " + to_string(result.error()));
               }
               const std::uint64_t now = now_ns();
               times_.add(now - sent);
               if (!is_over_()) {
                 next();
               } else if (--open_ == 0) {
                 ended_ = now;
                 done_.open();
               }
             });
}

}  // namespace trunkline::bench
