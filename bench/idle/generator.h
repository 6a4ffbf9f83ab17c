// SPDX-License-Identifier: Apache-2.0
//
// A process that holds a share of the subscribers, so that their number is not bound by what one
// process may open.
#pragma once

#include <trunkline/error.h>

#include "measure/histogram.h"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace trunkline::bench {

struct Share {
  std::uint16_t port = 0;
  std::size_t first = 0;  // of all subscribers
  std::size_t count = 0;
  std::size_t all = 0;  // subscribers of all generators
};

// What one generator saw of one publication.
struct Arrival {
  Histogram latency;
  std::uint64_t last_ns = 0;  // from the sending to the receipt by the last
};

// Thread: one.
class Generator {
 public:
  static constexpr const char* kChannel = "idle";

  // Forks: the caller must not have threads. The process ends with its parent.
  [[nodiscard]] static Result<Generator> start(const Share& share);
  Generator(Generator&& other) noexcept;
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  Generator& operator=(Generator&&) = delete;
  // Ends the process, and waits.
  ~Generator();

  // Waits until its subscribers are there.
  [[nodiscard]] Result<void> connected();
  // Waits until its subscribers have the next publication, each once.
  [[nodiscard]] Result<Arrival> arrived();

 private:
  Generator(pid_t pid, int descriptor) : pid_(pid), descriptor_(descriptor) {}

  [[nodiscard]] Result<void> receive(void* out, std::size_t bytes);

  pid_t pid_;
  int descriptor_;
};

}  // namespace trunkline::bench
