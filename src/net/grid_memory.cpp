// SPDX-License-Identifier: Apache-2.0
#include "net/grid_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

namespace trunkline::net {

namespace {

constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::uintptr_t kLargePageBytes = 2UL * 1024 * 1024;

std::uintptr_t address_of(const char* memory) {
  return reinterpret_cast<std::uintptr_t>(memory);
}

std::uintptr_t down(std::uintptr_t address, std::uintptr_t unit) {
  return address / unit * unit;
}

std::uintptr_t up(std::uintptr_t address, std::uintptr_t unit) {
  return down(address + unit - 1, unit);
}

void advise(char* memory, std::uintptr_t from, std::uintptr_t to, int advice) {
  if (from < to) {
    // It may refuse; then it is as without.
    static_cast<void>(::madvise(memory + (from - address_of(memory)), to - from, advice));
  }
}

}  // namespace

void advise_will_fill(char* memory, std::size_t bytes) {
  const std::uintptr_t begin = address_of(memory);
  advise(memory, up(begin, kPageBytes), down(begin + bytes, kPageBytes), MADV_HUGEPAGE);
}

void advise_spent(char* message, std::size_t from, std::size_t to) {
  const std::uintptr_t begin = address_of(message);
  advise(message, std::max(down(begin + from, kLargePageBytes), up(begin, kLargePageBytes)),
         down(begin + to, kLargePageBytes), MADV_DONTNEED);
}

}  // namespace trunkline::net
