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

volatile std::sig_atomic_t g_signal_came = 0;

}  // namespace

void ConnectionArguments::add_to(CLI::App& command) {
  command.add_option("--url,-u", url, "Server, ws:// or wss://host:port/connection/websocket")
      ->capture_default_str();
  command.add_option("--token,-t", token, "Connection token (JWT); none: anonymous")
      ->envname("TRUNKLINE_TOKEN");
  CLI::Option* ca = command.add_option(
      "--ca", tls.ca_file, "With wss: CAs to trust, a PEM file, instead of the system's store");
  CLI::Option* certificate = command.add_option(
      "--cert", tls.certificate_file,
      "With wss: certificate for a server that asks for one, a PEM file; needs --key");
  CLI::Option* key =
      command.add_option("--key", tls.key_file, "With wss: private key of --cert, a PEM file");
  certificate->needs(key);
  key->needs(certificate);
  command
      .add_flag("--insecure", tls.insecure_no_verification,
                "With wss: take any certificate of the server's, also an impostor's")
      ->excludes(ca);
  command.add_flag("--compress", compress,
                   "Offer permessage-deflate: less on the wire, when the server agrees");
}

ClientOptions ConnectionArguments::client_options() const {
  return {.url = url,
          .tls = tls,
          .compression = compress,
          .token = token,
          .name = "trunkline",
          .version = TRUNKLINE_VERSION};
}

void tell(std::string_view line) {
  fmt::print(stderr, "trunkline: {}\n", line);
}

Result<void> start_without_signals(ClientLoop& loop) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  Result<void> started = loop.start();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

void let_signals_end_reading() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_signal_came = 1; };
  // No SA_RESTART: the read that is under way fails, which ends the input.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool has_signal_come() {
  return g_signal_came != 0;
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
