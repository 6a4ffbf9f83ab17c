// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/runtime.h"

#include <mutex>
#include <utility>

namespace trunkline::server {

// Where answers go that may come from any thread, even after the server's end. Thread: any.
class Outlet {
 public:
  explicit Outlet(net::Runtime& runtime) : runtime_(&runtime) {}

  // False when the server has ended; the task is dropped then.
  bool post(hub::ShardId shard, net::Task task) {
    const std::lock_guard lock(mutex_);
    return runtime_ != nullptr && runtime_->post(shard, std::move(task));
  }

  // Before the runtime's end.
  void close() {
    const std::lock_guard lock(mutex_);
    runtime_ = nullptr;
  }

 private:
  std::mutex mutex_;
  net::Runtime* runtime_;
};

}  // namespace trunkline::server
