// SPDX-License-Identifier: Apache-2.0
//
// Snapshot functions run on threads of their own, so that one that blocks delays nobody's traffic.
#pragma once

#include <trunkline/hub.h>

#include "net/runtime.h"
#include "server/worker_pool.h"
#include "session/snapshot.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// The functions by prefix, and the pool that runs them. Thread: any, once started.
class Snapshots {
 public:
  Snapshots() = default;
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Before start().
  void add(std::string prefix, SnapshotFunction function);

  void start(unsigned threads) { workers_.start(threads); }

  // Waits for the functions that run; those that wait are answered with an error.
  void stop() { workers_.stop(); }

  // The function of the longest prefix that fits; nullptr: none.
  [[nodiscard]] const SnapshotFunction* find(std::string_view channel) const;

  // Runs a function for a request that came from `shard`; `done` is called there.
  void run(const SnapshotFunction& function, SnapshotRequest request, net::Runtime& runtime,
           hub::ShardId shard, hub::Done<session::Snapshot> done);

 private:
  std::vector<std::pair<std::string, SnapshotFunction>> functions_;
  WorkerPool workers_;  // after the functions, which it runs to its end
};

// One shard's view of them.
class ShardSnapshots final : public session::SnapshotProvider {
 public:
  ShardSnapshots(Snapshots& snapshots, net::Runtime& runtime, hub::ShardId shard)
      : snapshots_(snapshots), runtime_(runtime), shard_(shard) {}

  [[nodiscard]] bool covers(std::string_view channel) const override {
    return snapshots_.find(channel) != nullptr;
  }

  void take(const std::string& channel, const Position& attached,
            hub::Done<session::Snapshot> done) override {
    snapshots_.run(*snapshots_.find(channel), {channel, attached}, runtime_, shard_,
                   std::move(done));
  }

 private:
  Snapshots& snapshots_;
  net::Runtime& runtime_;
  const hub::ShardId shard_;
};

}  // namespace trunkline::server
