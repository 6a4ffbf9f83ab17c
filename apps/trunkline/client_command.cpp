// SPDX-License-Identifier: Apache-2.0
#include "client_command.h"

#include <trunkline/version.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace trunkline::app {

namespace {

// Wakes the waiter without meaning anything else.
constexpr int kFinishSignal = SIGUSR1;

}  // namespace

void ConnectionArguments::add_to(CLI::App& command) {
  command.add_option("--url,-u", url, "Server, ws://host:port/connection/websocket")
      ->capture_default_str();
  command.add_option("--token,-t", token, "Connection token (JWT); none: anonymous")
      ->envname("TRUNKLINE_TOKEN");
}

ClientOptions ConnectionArguments::client_options() const {
  return {.url = url, .token = token, .name = "trunkline", .version = TRUNKLINE_VERSION};
}

void tell(std::string_view line) {
  fmt::print(stderr, "trunkline: {}\n", line);
}

SignalWaiter::SignalWaiter() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, kFinishSignal);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

void SignalWaiter::wait() {
  int received = 0;
  sigwait(&signals_, &received);
  sigset_t again;
  sigemptyset(&again);
  sigaddset(&again, SIGINT);
  sigaddset(&again, SIGTERM);
  pthread_sigmask(SIG_UNBLOCK, &again, nullptr);
}

void SignalWaiter::finish() {
  ::kill(::getpid(), kFinishSignal);
}

}  // namespace trunkline::app
