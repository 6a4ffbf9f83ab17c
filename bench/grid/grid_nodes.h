// SPDX-License-Identifier: Apache-2.0
//
// Nodes of the grid with the handlers that the rows ask for, and loads of callbacks on them.
#pragma once

#include <trunkline/grid.h>

#include "grid/subject.h"
#include "measure/clock.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trunkline::bench {

// "127.0.0.1:" and a port that is free now.
[[nodiscard]] std::string free_address();

[[nodiscard]] std::unique_ptr<GridNode> make_node(const std::string& name);
[[nodiscard]] GridPeer peer_of(GridNode& node, const std::string& name);
// Waits until the two are connected.
void wait_connected(const GridPeer& peer);

// Says that a time from now is over. It is asked on the node's thread.
[[nodiscard]] std::function<bool()> is_after(Milliseconds time);

// So many calls at once, each followed by the next, until something is over. Its counts belong to
// the node's thread until wait() has returned.
class GridLoad {
 public:
  GridLoad(GridPeer peer, std::size_t bytes, int in_flight, std::function<bool()> is_over);
  void start();

  void wait() { done_.wait(); }

  [[nodiscard]] const Histogram& times() const { return times_; }

  [[nodiscard]] std::uint64_t took_ns() const { return ended_ - began_; }

 private:
  void next();

  const GridPeer peer_;
  const Bytes payload_;
  const int in_flight_;
  const std::function<bool()> is_over_;
  std::uint64_t began_ = 0;
  std::uint64_t ended_ = 0;
  std::atomic<int> open_ = 0;
  Histogram times_;
  Latch done_;
};

}  // namespace trunkline::bench
