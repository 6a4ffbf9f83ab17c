// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace trunkline::net {

// Descriptors that are held for nothing but to be given up: with one of them a server that has run
// out can still accept a connection, to answer and close it. Otherwise it would sit in the backlog,
// the listening socket would stay readable, and the loop would spin. Thread: the loop's.
class DescriptorReserve {
 public:
  static constexpr std::size_t kCount = 8;

  DescriptorReserve() = default;
  DescriptorReserve(const DescriptorReserve&) = delete;
  DescriptorReserve& operator=(const DescriptorReserve&) = delete;
  ~DescriptorReserve();

  // Opens what is missing, as far as the system grants it.
  void refill();
  // Closes one, so that another may be opened; false when there is none.
  bool give_up_one();

 private:
  std::vector<int> held_;
};

}  // namespace trunkline::net
