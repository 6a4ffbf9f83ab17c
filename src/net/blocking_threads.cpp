// SPDX-License-Identifier: Apache-2.0
#include "net/blocking_threads.h"

#include <sched.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace trunkline::net {

struct BlockingThreads::State {
  State(unsigned most, bool yields) : threads_max(most), yielding(yields) {}

  static void run(const std::shared_ptr<State>& state);

  const unsigned threads_max;
  const bool yielding;
  std::mutex mutex;
  std::condition_variable something;  // to do, or the end
  std::condition_variable ended;
  std::deque<Work> waiting;
  unsigned threads = 0;
  unsigned idle = 0;
  bool stopping = false;
};

BlockingThreads::BlockingThreads(unsigned threads_max, bool yielding)
    : state_(std::make_shared<State>(threads_max, yielding)) {}

BlockingThreads::~BlockingThreads() {
  stop(Duration{0});
}

void BlockingThreads::State::run(const std::shared_ptr<State>& state) {
  if (state->yielding) {
    // Of this thread alone. Where it is refused it is as eager as others.
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_IDLE, &none);
  }
  std::unique_lock lock(state->mutex);
  for (;;) {
    ++state->idle;
    state->something.wait(lock, [&] { return state->stopping || !state->waiting.empty(); });
    --state->idle;
    if (state->waiting.empty()) {
      break;
    }
    Work work = std::move(state->waiting.front());
    state->waiting.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds goes before anybody is told that this has ended
    lock.lock();
  }
  --state->threads;
  state->ended.notify_all();
}

void BlockingThreads::post(Work work) {
  const std::lock_guard lock(state_->mutex);
  state_->waiting.push_back(std::move(work));
  if (state_->waiting.size() > state_->idle && state_->threads < state_->threads_max) {
    try {
      std::thread([state = state_] { State::run(state); }).detach();
      ++state_->threads;
    } catch (const std::system_error&) {
      if (state_->threads == 0) {
        state_->waiting.pop_back();
        throw;
      }
    }
  }
  state_->something.notify_one();
}

std::size_t BlockingThreads::stop(Duration timeout) {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->something.notify_all();
  state_->ended.wait_for(lock, timeout, [&] { return state_->threads == 0; });
  return state_->threads;
}

}  // namespace trunkline::net
