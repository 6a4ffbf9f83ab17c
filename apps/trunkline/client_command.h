// SPDX-License-Identifier: Apache-2.0
//
// What the sub-commands that are clients have in common: where to connect to, and the wait for a
// signal or the work's end.
#pragma once

#include <trunkline/client.h>

#include <CLI/CLI.hpp>

#include <csignal>
#include <string>
#include <string_view>

namespace trunkline::app {

struct ConnectionArguments {
  std::string url = "ws://127.0.0.1:8000/connection/websocket";
  std::string token;
  ClientTlsOptions tls;
  bool compress = false;

  void add_to(CLI::App& command);
  [[nodiscard]] ClientOptions client_options() const;
};

// A line for people: "trunkline: …" on standard error.
void tell(std::string_view line);

// Starts the loop's thread so that SIGINT and SIGTERM stay with the calling one.
[[nodiscard]] Result<void> start_without_signals(ClientLoop& loop);

// From now on the first SIGINT or SIGTERM ends a read of standard input by the calling thread, so
// that what was begun is finished and counted; a second one ends the process.
void let_signals_end_reading();
[[nodiscard]] bool has_signal_come();

// Takes SIGINT and SIGTERM to wait for them. To be made before any other thread exists, which would
// not know that the signals are blocked.
class SignalWaiter {
 public:
  SignalWaiter();

  // Waits for a signal or finish(). A second signal then ends the process at once.
  void wait();
  // Ends the wait. Thread: any.
  static void finish();

 private:
  sigset_t signals_;
};

}  // namespace trunkline::app
