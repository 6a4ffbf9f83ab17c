// SPDX-License-Identifier: Apache-2.0
//
// Replaces operator new for the whole program, to count. Each thread counts for itself, so that the
// counting costs a nanosecond and no more.
#include "grid/costs.h"

#include <cstdlib>
#include <new>

namespace {

thread_local std::uint64_t count = 0;

}  // namespace

void* operator new(std::size_t bytes) {
  ++count;
  void* const memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) {
    std::abort();
  }
  return memory;
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  std::free(memory);
}

namespace trunkline::bench {

std::uint64_t allocations() {
  return count;
}

}  // namespace trunkline::bench
