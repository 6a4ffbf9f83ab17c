// SPDX-License-Identifier: Apache-2.0
//
// What the sub-commands that speak to nodes of the grid have in common: how they prove that they
// may, and the wait for a task's end. They come as guests: no node has to know them before.
#pragma once

#include <trunkline/grid.h>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::app {

struct GridArguments {
  std::string secret_file;
  std::string name;
  GridTlsOptions tls;

  void add_to(CLI::App& command);
  // A node that is a guest wherever it dials. Errors: kConfig for what cannot be used, kSystem.
  [[nodiscard]] Result<std::unique_ptr<GridNode>> start() const;
};

// A number with a unit (ms, s, m, h), into milliseconds.
CLI::Option* add_duration(CLI::App& command, const std::string& name,
                          std::chrono::milliseconds& value, const std::string& description);

// "no such lock", "10.0.0.1:7000 lock: handler (handler 1234): no such lock".
[[nodiscard]] std::string describe(std::string_view peer, std::string_view handler,
                                   const GridError& error);

// Begins it now; what it throws comes out of the future.
template <class T>
[[nodiscard]] std::future<T> begin(Task<T> task) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> future = promise->get_future();
  run_task(std::move(task), [promise](std::optional<T> value, const std::exception_ptr& thrown) {
    if (value.has_value()) {
      promise->set_value(std::move(*value));
    } else {
      promise->set_exception(thrown);
    }
  });
  return future;
}

// Runs it to its end. Not on a node's thread.
template <class T>
[[nodiscard]] T wait_for(Task<T> task) {
  return begin(std::move(task)).get();
}

// What a stream's send() or receive() comes to.
template <class Waiting>
[[nodiscard]] typename Waiting::Value wait_for(Waiting waiting) {
  return wait_for(std::move(waiting).as_task());
}

}  // namespace trunkline::app
