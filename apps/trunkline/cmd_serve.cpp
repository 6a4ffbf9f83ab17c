// SPDX-License-Identifier: Apache-2.0
#include <trunkline/server.h>

#include "commands.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

extern char** environ;

namespace trunkline::app {

namespace {

struct ServeOptions {
  std::string config;
  std::string address;
  std::uint16_t port = 0;
  unsigned shards = 0;
  bool demo = false;
  bool no_io_uring = false;
};

// Lines for people go to standard error; standard output has only what a script waits for.
void log_line(std::string_view line) {
  fmt::print(stderr, "trunkline: {}\n", line);
}

int serve(const ServeOptions& given, const CLI::App& command) {
  ServerOptions options;
  options.config_file = given.config;
  options.demo = given.demo;
  options.log = log_line;
  if (command.count("--address") > 0) {
    options.address = given.address;
  }
  if (command.count("--port") > 0) {
    options.port = given.port;
  }
  if (command.count("--shards") > 0) {
    options.shards = given.shards;
  }
  if (given.no_io_uring) {
    options.io_uring = false;
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    options.environment.emplace_back(*variable);
  }
  // Blocked before any thread exists: the signals are this thread's to wait for.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Result<std::unique_ptr<Server>> server = Server::create(std::move(options));
  if (!server.has_value()) {
    log_line(server.error().context);
    return kExitUsage;
  }
  if (const Result<void> started = (*server)->start(); !started.has_value()) {
    log_line(started.error().context);
    return kExitFailed;
  }
  fmt::print("listening on {}\n", (*server)->url());
  if (given.demo) {
    fmt::print(
        "demo: anonymous clients may subscribe, publish and read everything; "
        "loopback only; the page is at {}/\n",
        (*server)->url());
  }
  std::fflush(stdout);

  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGHUP) {
    const Result<void> reloaded = (*server)->reload_certificate();
    log_line(reloaded.has_value() ? "SIGHUP: the certificate was read again"
                                  : reloaded.error().context + "; the old certificate stays");
  }
  log_line("stopping; a second signal ends at once");
  // The second one finds the default action again.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  (*server)->stop();
  return kExitDone;
}

}  // namespace

void add_serve(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Run the server");
  command->add_option("--config,-c", options->config,
                      "Configuration file (.json, .toml, .yaml); without one the server is closed: "
                      "loopback, tokens required");
  command->add_option("--address,-a", options->address, "IP address to listen on");
  command->add_option("--port,-p", options->port, "Port to listen on; 0: any free one");
  command->add_option("--shards", options->shards, "Threads; 0: one a core");
  command->add_flag("--no-io-uring", options->no_io_uring,
                    "Send with a system call a connection, also where io_uring could be used");
  command->add_flag("--demo", options->demo,
                    "For trying it out: loopback only, anonymous clients may do everything");
  command->footer(
      "SIGTERM or SIGINT ends it in order, a second one at once. SIGHUP reads the certificate of "
      "http_server.tls again.");
  command->callback(
      [options, command, &outcome] { outcome.exit_code = serve(*options, *command); });
}

}  // namespace trunkline::app
