// SPDX-License-Identifier: Apache-2.0
//
// Handlers of a program that embeds us may throw; nothing of ours does.
#pragma once

#include <exception>
#include <string>

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

}  // namespace trunkline
