// SPDX-License-Identifier: Apache-2.0
//
// The load: many subscribers of one channel and one publisher. A closed loop:
// `window` publications are in flight; one is complete when every subscriber
// has it, and only then the next is published. Every subscriber checks that
// what it gets is contiguous.
#pragma once

#include <trunkline/error.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace trunkline::bench {

struct LoadResult {
  std::uint64_t deliveries = 0;
  double seconds = 0;
  std::uint64_t p50_ns = 0;
  std::uint64_t p99_ns = 0;
};

// Messages are JSON strings of this many bytes, quotes included.
inline constexpr std::size_t kMessageBytes = 128;

struct LoadOptions {
  std::uint16_t port = 0;
  std::size_t subscribers = 0;
  std::size_t window = 0;
  // Of the client library's load only.
  std::size_t message_bytes = kMessageBytes;
  bool compression = false;  // permessage-deflate is offered
};

inline constexpr const char* kChannel = "bench";

class Load {
 public:
  Load() = default;
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  virtual ~Load() = default;

  // Connects and subscribes everybody. Errors: kTimeout, kSystem,
  // kProtocolError.
  [[nodiscard]] virtual Result<void> connect(std::chrono::seconds timeout) = 0;
  // Publishes for so long and returns with the window still in flight; a later
  // call goes on. The figures are of this call. Errors: kProtocolError for a
  // gap, a repeat, a lost connection or a refused publication; kTimeout when
  // nothing was delivered.
  [[nodiscard]] virtual Result<LoadResult> run(std::chrono::duration<double> time) = 0;
  // Publishes no more and waits until every subscriber has everything. Errors:
  // those of run(), kTimeout when something never came.
  [[nodiscard]] virtual Result<void> finish(std::chrono::seconds timeout) = 0;
};

// By the public client library, on a thread of its own.
[[nodiscard]] std::unique_ptr<Load> make_client_load(const LoadOptions& options);

// By bare sockets, on the caller's thread; see raw_load.cpp for why there are
// two.
[[nodiscard]] std::unique_ptr<Load> make_raw_load(const LoadOptions& options);

}  // namespace trunkline::bench
