// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/task.h>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace trunkline {

// run_task() of what `begin()` gives. A handler that is no coroutine itself may throw before there
// is a task: `done` is told of that in the same way.
template <class Begin, class Done>
void run_handler(Begin&& begin, Done done) {
  std::optional<std::invoke_result_t<Begin&>> task;
  try {
    task.emplace(begin());
  } catch (...) {
    done({}, std::current_exception());
    return;
  }
  run_task(std::move(*task), std::move(done));
}

}  // namespace trunkline
