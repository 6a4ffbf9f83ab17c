// SPDX-License-Identifier: Apache-2.0
//
// Subscribers of one channel that read, others that do not, and a publisher that keeps to its
// schedule whatever becomes of what it publishes.
#pragma once

#include "load/client_set.h"
#include "measure/clock.h"
#include "measure/histogram.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

struct SlowOptions {
  std::uint16_t port = 0;
  std::size_t healthy = 0;
  std::size_t stalled = 0;
  double rate = 0;                // publications a second
  std::size_t message_bytes = 0;  // of each
  int stalled_receive_bytes = 0;  // SO_RCVBUF of the stalled; 0: the system's
};

// What the stalled subscribers found when they read on.
struct Caught {
  std::size_t complete = 0;    // got every publication
  std::size_t told = 0;        // were told that the log had moved on (2500), and what it cost
  std::uint64_t lost_max = 0;  // publications that one of those lost, at most
  double seconds = 0;          // until all were there
};

class SlowLoad final : private ClientOwner {
 public:
  explicit SlowLoad(const SlowOptions& options) : options_(options) {}

  [[nodiscard]] Result<void> connect();
  // Publishes for so long and waits until every healthy subscriber has everything. A latency is
  // from the time at which the publication was due to its receipt.
  [[nodiscard]] Result<Histogram> run(std::chrono::duration<double> time);
  // The stalled read on. Errors: kProtocolError when one lost something without being told, or was
  // told although the log can take it on from where it stands; kTimeout.
  [[nodiscard]] Result<Caught> release(std::chrono::seconds timeout);

  [[nodiscard]] std::uint64_t published() const { return published_; }

 private:
  struct Subscriber {
    std::uint64_t next = 0;  // offset that must come
    bool told = false;
    bool resubscribing = false;
  };

  [[nodiscard]] bool is_publisher(std::size_t who) const { return who == subscribers_.size(); }

  [[nodiscard]] bool is_healthy(std::size_t who) const { return who < options_.healthy; }

  // Until the condition holds, at most so long. Errors: the first defect, kTimeout.
  template <class Condition>
  Result<void> turn_until(Clock::time_point deadline, Condition condition);
  void publish_on_schedule(std::uint64_t count);
  void take(std::size_t who, const Push& push);
  void on_unsubscribed(std::size_t who, std::string_view line);
  void on_resubscribed(std::size_t who, std::string_view line);
  void broken(std::size_t who, std::string_view what);

  void on_line(std::size_t who, std::string_view line, bool alone) override;
  void on_lost(std::size_t who, const std::string& why) override;

  const SlowOptions options_;
  ClientSet clients_{*this};
  int publisher_fd_ = -1;
  std::vector<Subscriber> subscribers_;  // the healthy first
  std::string epoch_;
  std::uint64_t published_ = 0;  // also the newest offset
  std::atomic<bool> publishing_ = false;
  std::uint64_t healthy_deliveries_ = 0;
  std::size_t caught_up_ = 0;  // of the stalled
  std::uint64_t lost_max_ = 0;
  Histogram latency_;
  std::string defect_;
};

}  // namespace trunkline::bench
