// SPDX-License-Identifier: Apache-2.0
#include "grid/costs.h"

#include "grid/grid_nodes.h"

#include <fmt/format.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace trunkline::bench {

using namespace std::chrono_literals;

namespace {

// Opens a stream and keeps it.
Task<int> open_one(GridPeer to, std::vector<GridStream>& streams) {
  GridResult<GridStream> stream = co_await to.open("read", "");
  if (!stream.has_value()) {
    give_up("a stream does not open: " + to_string(stream.error()));
  }
  streams.push_back(std::move(*stream));
  co_return 0;
}

// All of them, and an echo behind the last: then the handlers have begun.
void open_streams(const GridPeer& to, std::size_t count, std::vector<GridStream>& streams) {
  streams.reserve(count);
  Latch done;
  const auto all = [](GridPeer peer, std::size_t number,
                      std::vector<GridStream>& kept) -> Task<int> {
    for (std::size_t i = 0; i < number; ++i) {
      co_await open_one(peer, kept);
    }
    co_return co_await std::move(peer).call("echo", "", {}) ? 0 : 1;
  };
  run_task(all(to, count, streams),
           [&done](std::optional<int>, const std::exception_ptr&) { done.open(); });
  done.wait();
}

double measure_streams() {
  constexpr std::size_t kStreams = 10'000;
  const std::string one_name = free_address();
  const std::string two_name = free_address();
  const auto one = make_node(one_name);
  const auto two = make_node(two_name);
  const GridPeer to_two = peer_of(*one, two_name);
  const GridPeer to_one = peer_of(*two, one_name);
  wait_connected(to_two);
  wait_connected(to_one);
  std::vector<GridStream> warm;
  open_streams(to_two, 100, warm);
  std::vector<GridStream> streams;
  streams.reserve(kStreams);
  const std::int64_t before = live_bytes();
  open_streams(to_two, kStreams, streams);
  const std::int64_t after = live_bytes();
  std::size_t handlers = 0;
  for (const GridPeerStats& peer : two->peers()) {
    handlers += peer.handlers_running;
  }
  if (handlers != warm.size() + kStreams) {
    give_up(fmt::format("{} handlers run, {} streams are open", handlers, warm.size() + kStreams));
  }
  return static_cast<double>(after - before) / static_cast<double>(kStreams);
}

// A hub and nodes around it, all running; then they connect.
double measure_connections() {
  constexpr std::size_t kNodes = 16;
  const std::string hub_name = free_address();
  const auto hub = make_node(hub_name);
  std::vector<std::string> names;
  std::vector<std::unique_ptr<GridNode>> nodes;
  for (std::size_t i = 0; i < kNodes; ++i) {
    names.push_back(free_address());
    nodes.push_back(make_node(names.back()));
  }
  const auto connect = [&](std::size_t from, std::size_t to) {
    std::vector<GridPeer> peers;
    for (std::size_t i = from; i < to; ++i) {
      peers.push_back(peer_of(*hub, names[i]));
      peers.push_back(peer_of(*nodes[i], hub_name));
    }
    for (const GridPeer& peer : peers) {
      wait_connected(peer);
    }
  };
  connect(0, 4);
  const std::int64_t before = live_bytes();
  connect(4, kNodes);
  return static_cast<double>(live_bytes() - before) / static_cast<double>(kNodes - 4);
}

}  // namespace

MemoryFigures measure_memory() {
  return {measure_streams(), measure_connections()};
}

}  // namespace trunkline::bench
