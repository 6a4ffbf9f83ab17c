// SPDX-License-Identifier: Apache-2.0
//
// What is measured, and of whom: two ends in one process that are connected over loopback, each
// with one thread of its own.
#pragma once

#include "measure/histogram.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::bench {

using Milliseconds = std::chrono::milliseconds;

[[noreturn]] void give_up(const std::string& why);

// Thread: any.
class Latch {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

struct CallFigures {
  double per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
};

[[nodiscard]] CallFigures figures_of(const Histogram& times_ns, std::uint64_t took_ns);

struct BesideFigures {
  CallFigures small;
  double bulk_bytes_per_second = 0;  // both ways together
};

// How many large messages are open at once, so that the next one waits when one has come.
inline constexpr int kBulkInFlight = 2;

// The bytes of all large messages of a row, one way.
inline constexpr std::size_t kBulkBytes = 1024UL << 20U;

class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  // Requests of so many bytes that are answered with the same bytes; so many always open.
  virtual std::optional<CallFigures> calls(std::size_t bytes, int in_flight, Milliseconds time) = 0;
  // Messages a second of one stream, one way.
  virtual std::optional<double> stream(std::size_t bytes, Milliseconds time) = 0;
  // Bytes a second of messages of so many bytes, one way, each acknowledged.
  virtual std::optional<double> bulk(std::size_t bytes) = 0;
  // Echoes of 64 bytes, one after the other, while messages of so many bytes go both ways.
  virtual std::optional<BesideFigures> beside(std::size_t bulk_bytes) = 0;
};

[[nodiscard]] std::unique_ptr<Subject> make_grid_pair();
// Null when this was built without gRPC.
[[nodiscard]] std::unique_ptr<Subject> make_grpc_pair();
// What the sockets can do at all. Has no calls and streams but one at a time.
[[nodiscard]] std::unique_ptr<Subject> make_bare_pair();

}  // namespace trunkline::bench
