// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <cstddef>
#include <functional>
#include <memory>

namespace trunkline::server {

// Threads for the handlers of jobs, which may block for hours or never return: a bounded number,
// started when they are needed. One that does not end in time is left to itself, so nothing waits
// for it for ever. Thread: any.
class JobThreads {
 public:
  using Work = std::move_only_function<void()>;

  // `yielding`: they get the processor's time that nobody else wants (SCHED_IDLE, sched(7)), so who
  // serves clients is never kept waiting by a job's work.
  JobThreads(unsigned threads_max, bool yielding);
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;
  // stop() with no time to wait.
  ~JobThreads();

  // Runs the work on a thread, when one is free; after stop() here and now.
  void post(Work work);
  // Runs what waits for a thread on this one, and waits for what runs. How many have not ended
  // by then; theirs are the only threads that are left.
  std::size_t stop(Duration timeout);

 private:
  struct State;

  std::shared_ptr<State> state_;  // the threads' too
};

}  // namespace trunkline::server
