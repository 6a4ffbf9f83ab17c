// SPDX-License-Identifier: Apache-2.0
//
// Each thread counts for itself, so that the counting costs a few nanoseconds and no more.
#include "grid/allocations.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

// Of one thread, which alone writes to it. Never freed: others read it when the thread is gone.
struct Counter {
  std::uint64_t allocations = 0;
  std::atomic<std::int64_t> live = 0;
  Counter* next = nullptr;

  void add(std::int64_t bytes) {
    live.store(live.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }
};

std::atomic<Counter*> counters = nullptr;

Counter& make_counter() {
  void* const memory = std::malloc(sizeof(Counter));
  if (memory == nullptr) {
    std::abort();
  }
  auto* const counter = ::new (memory) Counter;
  counter->next = counters.load();
  while (!counters.compare_exchange_weak(counter->next, counter)) {
  }
  return *counter;
}

Counter& counter() {
  thread_local Counter& of_thread = make_counter();
  return of_thread;
}

std::int64_t chunk_of(void* memory) {
  return static_cast<std::int64_t>(::malloc_usable_size(memory) + sizeof(std::size_t));
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* const memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) {
    std::abort();
  }
  Counter& mine = counter();
  ++mine.allocations;
  mine.add(chunk_of(memory));
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) {
    counter().add(-chunk_of(memory));
    std::free(memory);
  }
}

void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
  operator delete(memory);
}

namespace trunkline::bench {

std::uint64_t allocations() {
  return counter().allocations;
}

std::int64_t live_bytes() {
  std::int64_t sum = 0;
  for (const Counter* each = counters.load(); each != nullptr; each = each->next) {
    sum += each->live.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace trunkline::bench
