// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/handlers.h>

#include "core/thrown.h"
#include "net/run_handler.h"

#include <exception>
#include <expected>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::server {

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
