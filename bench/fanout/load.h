// SPDX-License-Identifier: Apache-2.0
//
// The load: many subscribers of one channel and one publisher, all on one loop of the public client
// library. A closed loop: `window` publications are in flight; one is complete when every
// subscriber has it, and only then the next is published.
#pragma once

#include <trunkline/client.h>
#include <trunkline/error.h>

#include "measure/histogram.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace trunkline::bench {

struct LoadResult {
  std::uint64_t deliveries = 0;
  double seconds = 0;
  std::uint64_t p50_ns = 0;
  std::uint64_t p99_ns = 0;
};

class Load {
 public:
  Load(std::uint16_t port, std::size_t subscribers, std::size_t window);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  // Connects and subscribes everybody. Errors: kTimeout.
  [[nodiscard]] Result<void> connect(std::chrono::seconds timeout);
  // Begins to publish.
  void begin();
  // Starts the figures afresh.
  void reset();
  // The figures since the last reset; an error when a subscriber saw a gap or repeat, or nothing
  // moved.
  [[nodiscard]] Result<LoadResult> result();

 private:
  struct Subscriber;

  void connect_next();
  void received(const Publication& publication);
  void publish_one();
  void broken(const std::string& what);
  // Runs on the loop and waits for it.
  void on_loop(std::move_only_function<void()> function);

  const std::uint16_t port_;
  const std::size_t subscribers_;
  const std::size_t window_;
  ClientLoop loop_;
  std::unique_ptr<Client> publisher_;
  std::vector<std::unique_ptr<Client>> clients_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t subscribed_ = 0;  // guarded

  // The loop's.
  std::vector<std::uint32_t> copies_;  // of each publication, by its number modulo the size
  std::uint64_t published_ = 0;
  std::uint64_t deliveries_ = 0;
  Histogram latency_;
  std::chrono::steady_clock::time_point began_;
  std::string defect_;
};

}  // namespace trunkline::bench
