// SPDX-License-Identifier: Apache-2.0
//
// Eight nodes in one process, everyone to everyone: 28 connections instead of one.
#pragma once

#include "grid/subject.h"

#include <cstddef>
#include <memory>

namespace trunkline::bench {

inline constexpr std::size_t kMeshNodes = 8;

class Mesh {
 public:
  Mesh();
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  // Echoes of so many bytes, so many always open in all, spread evenly over all pairs, both ways.
  [[nodiscard]] CallFigures calls(std::size_t bytes, int in_flight, Milliseconds time);

 private:
  struct Nodes;

  std::unique_ptr<Nodes> nodes_;
};

}  // namespace trunkline::bench
