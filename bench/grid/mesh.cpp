// SPDX-License-Identifier: Apache-2.0
#include "grid/mesh.h"

#include "grid/grid_nodes.h"

#include <algorithm>
#include <utility>

namespace trunkline::bench {

struct Mesh::Nodes {
  std::vector<std::unique_ptr<GridNode>> nodes;
  std::vector<GridPeer> peers;  // every node's view of every other
};

Mesh::Mesh() : nodes_(std::make_unique<Nodes>()) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kMeshNodes; ++i) {
    names.push_back(free_address());
    nodes_->nodes.push_back(make_node(names.back()));
  }
  for (std::size_t i = 0; i < kMeshNodes; ++i) {
    for (std::size_t j = 0; j < kMeshNodes; ++j) {
      if (i != j) {
        nodes_->peers.push_back(peer_of(*nodes_->nodes[i], names[j]));
      }
    }
  }
  for (const GridPeer& peer : nodes_->peers) {
    wait_connected(peer);
  }
}

Mesh::~Mesh() = default;

CallFigures Mesh::calls(std::size_t bytes, int in_flight, Milliseconds time) {
  std::vector<std::unique_ptr<GridLoad>> loads;
  const int each = std::max(1, in_flight / static_cast<int>(nodes_->peers.size()));
  for (const GridPeer& peer : nodes_->peers) {
    loads.push_back(std::make_unique<GridLoad>(peer, bytes, each, is_after(time)));
  }
  for (const auto& load : loads) {
    load->start();
  }
  Histogram times;
  std::uint64_t took = 0;
  for (const auto& load : loads) {
    load->wait();
    times.add(load->times());
    took = std::max(took, load->took_ns());
  }
  return figures_of(times, took);
}

}  // namespace trunkline::bench
