// SPDX-License-Identifier: Apache-2.0
//
// The whole server in a program of one's own: WebSocket endpoint, HTTP API, metrics and page, and a
// Hub to publish from inside.
#pragma once

#include <trunkline/error.h>
#include <trunkline/handlers.h>
#include <trunkline/hub.h>
#include <trunkline/job.h>
#include <trunkline/task.h>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace trunkline {

// A file of the program's own, for browsers.
struct Page {
  // As requested, without a query: "/", "/ledger.js"… One that the server's page has, too, is
  // served instead of it; the API, /health, /metrics and the WebSocket endpoint stay the server's.
  std::string path;
  std::string content_type;  // such as "text/html; charset=utf-8"
  std::string content;
};

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
  // Served to whoever asks, under the rules of the server's own page: scripts, styles and data from
  // this server only, nothing inline (Content-Security-Policy).
  std::vector<Page> pages;
  // Lines for the operator. Called from any of the server's threads, one at a time.
  std::function<void(std::string_view)> log = [](std::string_view) {};
};

class Server;

// What Server::offload gives: to be awaited, once, in the expression that made it.
template <class Function>
class [[nodiscard]] Offload {
 public:
  using Value = std::invoke_result_t<Function&>;

  template <class Given>
  Offload(Server& server, Given&& function)
      : server_(server), function_(std::forward<Given>(function)) {}

  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;
  ~Offload() = default;

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> awaiting);

  Result<Value> await_resume() {
    if (thrown_) {
      std::rethrow_exception(thrown_);
    }
    return std::move(*result_);
  }

 private:
  void call();

  Server& server_;
  Function function_;
  std::optional<Result<Value>> result_;
  std::exception_ptr thrown_;
};

// Thread: any one at a time, but for hub() and offload().
class Server {
 public:
  // Reads and checks the configuration. Errors: kConfig with file, key and reason, kInvalidArgument
  // for a page that could not be reached.
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
  // queued for them is out or the time is over, and joins the threads. Jobs are cancelled before
  // the clients are told; a handler of theirs that has not returned in the same time is left to
  // itself, and the log names it. 0 ends at once; without an argument the configuration's
  // shutdown.timeout.
  void stop(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  [[nodiscard]] Hub& hub();

  // Handlers (handlers.h); before start(), one of a kind. They and what they capture live as long
  // as the server.

  // Asked for each connect command whose token, if it has one, is good; the reply's user and info
  // are the connection's. With it no configuration is needed for clients without a token.
  void on_connect(ConnectHandler handler);
  // For channels that begin with `prefix` ("": all; the longest decides), in place of the
  // namespace's permissions. A subscription token is enough without it; private channels and
  // user-limited ones are refused before.
  void on_subscribe(std::string prefix, SubscribeHandler handler);
  void on_publish(std::string prefix, PublishHandler handler);
  // `method` "": any that has no handler of its own; without one they are error 104. A client may
  // have trunkline.calls_in_flight_max calls on their way (error 111 beyond); their answers come as
  // they are ready.
  void on_rpc(std::string method, RpcHandler handler);
  // A long-running command (job.h): a plain function that may block, or a coroutine. Clients call
  // it as the rpc `method`; job.cancel and job.list are theirs, too, from the first job on, and the
  // namespace `job` is the server's then.
  void on_job(std::string method, JobHandler handler);
  void on_job(std::string method, JobCoroutine handler);
  // Asked when a connection expires; its client is then not asked for a new token. A refusal ends
  // it (3005).
  void on_refresh(RefreshHandler handler);
  // `send` commands, which have no reply.
  void on_message(MessageHandler handler);
  // A client that was connected has gone.
  void on_disconnect(DisconnectHandler handler);

  // Runs a function that may block on one of the server's worker threads
  // (trunkline.worker_threads), and goes on there. Errors: kUnavailable when too much waits or the
  // server has not started, kClosed when it stops before the function began. What the function
  // throws is thrown here. Thread: any.
  //
  //   const Result<Report> report = co_await server.offload([&] { return database.report(); });
  // See task.h for what a lambda may capture there.
  template <class Function>
  [[nodiscard]] Offload<std::decay_t<Function>> offload(Function&& function) {
    return Offload<std::decay_t<Function>>(*this, std::forward<Function>(function));
  }

 private:
  template <class Function>
  friend class Offload;

  // False: it was not taken.
  bool post_work(std::move_only_function<void(bool stopped)> work);

  explicit Server(std::unique_ptr<server::Core> core);

  std::unique_ptr<server::Core> core_;
};

template <class Function>
bool Offload<Function>::await_suspend(std::coroutine_handle<> awaiting) {
  const bool posted = server_.post_work([this, awaiting](bool stopped) {
    if (stopped) {
      result_.emplace(fail(ErrorCode::kClosed, "the server stops"));
    } else {
      call();
    }
    awaiting.resume();
  });
  if (!posted) {
    // Nobody else has this.
    result_.emplace(fail(ErrorCode::kUnavailable, "the worker threads have no room"));
  }
  return posted;
}

template <class Function>
void Offload<Function>::call() {
  try {
    if constexpr (std::is_void_v<Value>) {
      function_();
      result_.emplace();
    } else {
      result_.emplace(function_());
    }
  } catch (...) {
    thrown_ = std::current_exception();
  }
}

}  // namespace trunkline
