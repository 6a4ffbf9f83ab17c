// SPDX-License-Identifier: Apache-2.0
#include "grid/costs.h"

#include "grid/allocations.h"
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

std::size_t handlers_of(const GridNode& node) {
  std::size_t sum = 0;
  for (const GridPeerStats& peer : node.peers()) {
    sum += peer.handlers_running;
  }
  return sum;
}

// Opens so many more and waits until all their handlers run: `open` is over when it is queued.
void open_streams(const GridPeer& to, const GridNode& there, std::size_t count,
                  std::vector<GridStream>& streams) {
  const std::size_t handlers = handlers_of(there) + count;
  Latch done;
  const auto all = [](GridPeer peer, std::size_t number,
                      std::vector<GridStream>& kept) -> Task<int> {
    for (std::size_t i = 0; i < number; ++i) {
      co_await open_one(peer, kept);
    }
    co_return 0;
  };
  run_task(all(to, count, streams),
           [&done](std::optional<int>, const std::exception_ptr&) { done.open(); });
  done.wait();
  const auto is_over = is_after(std::chrono::seconds(20));
  while (handlers_of(there) != handlers) {
    if (is_over()) {
      give_up(fmt::format("{} handlers run instead of {}", handlers_of(there), handlers));
    }
  }
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
  open_streams(to_two, *two, 100, warm);
  std::vector<GridStream> streams;
  streams.reserve(kStreams);
  const std::int64_t before = live_bytes();
  open_streams(to_two, *two, kStreams, streams);
  return static_cast<double>(live_bytes() - before) / static_cast<double>(kStreams);
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
