// SPDX-License-Identifier: Apache-2.0
//
// The whole server in a program of one's own: WebSocket endpoint, HTTP API, metrics and page, and a
// Hub to publish from inside.
#pragma once

#include <trunkline/error.h>
#include <trunkline/hub.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

struct ServerOptions {
  // A configuration file (.json, .toml, .yaml) under the names that Centrifugo 6 uses; empty: the
  // defaults, which are closed (loopback only, tokens required).
  std::string config_file;
  // The same as JSON text; used when config_file is empty.
  std::string config_json;
  // Environment variables (NAME=VALUE) that may override the configuration; none by default.
  std::vector<std::string> environment;
  // For trying things out: loopback only, anonymous clients may do everything, history on.
  bool demo = false;
  // Override what the configuration says.
  std::optional<std::string> address;
  std::optional<std::uint16_t> port;  // 0: any free one
  std::optional<unsigned> shards;     // threads; 0: one a core
  std::optional<bool> io_uring;       // send by io_uring where the kernel grants one
  // False: no socket is opened; the Hub works all the same.
  bool listen = true;
  // Lines for the operator. Called from any of the server's threads, one at a time.
  std::function<void(std::string_view)> log = [](std::string_view) {};
};

// Thread: any one at a time, but for hub().
class Server {
 public:
  // Reads and checks the configuration. Errors: kConfig with file, key and reason.
  [[nodiscard]] static Result<std::unique_ptr<Server>> create(ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Stops at once when stop() was not called.
  ~Server();

  // Binds and starts the threads. Errors: kSystem with address, port and reason.
  [[nodiscard]] Result<void> start();
  // After start(): the port that is listened on, and the address for a browser.
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string url() const;

  // Reads the files of http_server.tls again: connections that come from now on get the new
  // certificate, the others stay. Errors: kConfig with file and reason; the old one stays in use
  // then. Does nothing without TLS.
  [[nodiscard]] Result<void> reload_certificate();

  // Stops accepting, tells all clients (disconnect 3001: they reconnect), waits until what is
  // queued for them is out or the time is over, and joins the threads. 0 ends at once; without an
  // argument the configuration's shutdown.timeout.
  void stop(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  [[nodiscard]] Hub& hub();

 private:
  explicit Server(std::unique_ptr<server::Core> core);

  std::unique_ptr<server::Core> core_;
};

}  // namespace trunkline
