// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/handlers.h>

#include <exception>
#include <expected>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::server {

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

// How a program's handler ended: with an answer, or with the text of what it threw.
template <class Reply>
using Ended = std::expected<Answer<Reply>, std::string>;

// Of what run_task() tells, on the thread where it tells it.
template <class Reply>
[[nodiscard]] Ended<Reply> ended_with(std::optional<Answer<Reply>> answer,
                                      const std::exception_ptr& thrown) {
  return thrown ? Ended<Reply>(std::unexpect, text_of(thrown)) : Ended<Reply>(std::move(*answer));
}

}  // namespace trunkline::server
