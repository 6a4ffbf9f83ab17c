// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <cstddef>
#include <functional>
#include <memory>

namespace trunkline::net {

// Threads for handlers that may block, for hours or for ever (those of jobs): a bounded number,
// started when they are needed. One that does not end in time is left to itself, so nothing waits
// for it for ever. Thread: any.
class BlockingThreads {
 public:
  using Work = std::move_only_function<void()>;

  // `yielding`: they get the processor's time that nobody else wants (SCHED_IDLE, sched(7)), so who
  // serves clients is never kept waiting by a job's work.
  BlockingThreads(unsigned threads_max, bool yielding);
  BlockingThreads(const BlockingThreads&) = delete;
  BlockingThreads& operator=(const BlockingThreads&) = delete;
  // stop() with no time to wait.
  ~BlockingThreads();

  // Throws std::system_error when there is no thread to be had; the work was not taken then.
  // Runs the work on a thread, when one is free; after stop(), too: what asks for it then is what
  // the stop waits for, or has left to itself.
  void post(Work work);
  // No thread waits for work any more. Waits for those that have some: how many have not ended by
  // then.
  std::size_t stop(Duration timeout);

 private:
  struct State;

  std::shared_ptr<State> state_;  // the threads' too
};

}  // namespace trunkline::net
