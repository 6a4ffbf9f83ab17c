// SPDX-License-Identifier: Apache-2.0
#include "floor/shared_log.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace trunkline::bench {

SharedLog::SharedLog() {
  const int memory = ::memfd_create("floor-log", MFD_CLOEXEC);
  const bool sized = memory >= 0 && ::ftruncate(memory, static_cast<off_t>(kCapacity)) == 0;
  void* both = ::mmap(nullptr, 2 * kCapacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bool mapped = sized && both != MAP_FAILED;
  for (std::size_t copy = 0; mapped && copy < 2; ++copy) {
    char* where = static_cast<char*>(both) + copy * kCapacity;
    mapped = ::mmap(where, kCapacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0) !=
             MAP_FAILED;
  }
  if (!mapped) {
    fmt::print(stderr, "the log's memory cannot be mapped\n");
    std::exit(1);
  }
  ::close(memory);
  base_ = static_cast<char*>(both);
}

SharedLog::~SharedLog() {
  ::munmap(base_, 2 * kCapacity);
}

}  // namespace trunkline::bench
