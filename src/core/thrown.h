// SPDX-License-Identifier: Apache-2.0
//
// Handlers of a program that embeds us may throw; nothing of ours does.
#pragma once

#include <trunkline/task.h>

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace trunkline {

// What a program's code threw, for the log. To be read on the thread that threw it: nothing orders
// another thread's reading before the end of the exception's object in a way that every tool sees.
[[nodiscard]] inline std::string text_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "not a std::exception";
  }
}

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
