// SPDX-License-Identifier: Apache-2.0
//
// Nodes in one process over loopback, and a relay between them that can be told to cut, to stall,
// to be slow and to falsify. Times only keep a broken test from hanging.
#pragma once

#include <trunkline/grid.h>

#include "grid/links.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::net {

using namespace std::chrono_literals;

inline constexpr auto kPatience = 60s;

// A port of loopback that nobody else gets: it stays bound, and may be listened on beside.
class ReservedPort {
 public:
  ReservedPort() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }

  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  ~ReservedPort() { ::close(descriptor_); }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  [[nodiscard]] std::string address() const { return fmt::format("127.0.0.1:{}", port_); }

 private:
  int descriptor_;
  std::uint16_t port_ = 0;
};

// What other threads report and the test waits for.
class Signal {
 public:
  template <class Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// Blocks threads until open() was called.
class Gate {
 public:
  void wait() {
    signal_.change([this] { ++waiting_; });
    EXPECT_TRUE(signal_.wait([this] { return is_open_; }));
  }

  void open() {
    signal_.change([this] { is_open_ = true; });
  }

  bool has_waiting(int count) {
    return signal_.wait([&] { return waiting_ >= count; });
  }

 private:
  Signal signal_;
  int waiting_ = 0;
  bool is_open_ = false;
};

// Runs a task to its end, from a test's thread.
template <class T>
T run(Task<T> task) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> future = promise->get_future();
  run_task(std::move(task), [promise](std::optional<T> value, const std::exception_ptr&) {
    if (value.has_value()) {
      promise->set_value(std::move(*value));
    }
  });
  if (future.wait_for(kPatience) != std::future_status::ready) {
    ADD_FAILURE() << "a task does not end";
    std::abort();
  }
  return future.get();
}

// What a stream's send() or receive() comes to.
template <class Waiting>
typename Waiting::Value run(Waiting waiting) {
  return run(std::move(waiting).as_task());
}

// Forwards connections to a port of loopback, on a thread of its own.
class Relay {
 public:
  Relay(std::uint16_t listen_on, std::uint16_t target);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // Cuts a connection once so many more bytes have gone to the target, or to the caller.
  void cut_after(std::int64_t bytes) { cut_after_[0] = bytes; }

  void cut_back_after(std::int64_t bytes) { cut_after_[1] = bytes; }

  // The same for the next connection, once this one was cut.
  void cut_next_after(std::int64_t bytes) { cut_next_after_[0] = bytes; }

  void cut_next_back_after(std::int64_t bytes) { cut_next_after_[1] = bytes; }

  // Once so many more bytes have gone to the target, or to the caller, the next one is another.
  void falsify_after(std::int64_t bytes) { falsify_after_[0] = bytes; }

  void falsify_back_after(std::int64_t bytes) { falsify_after_[1] = bytes; }

  // The target of each connection that there is says nothing more, but would go on listening.
  void end_of_target() { targets_end_ = true; }

  // Nothing is forwarded any more, and nobody is told; or again.
  void stall(bool on) { is_stalled_ = on; }

  // At most so many bytes a millisecond each way; 0: as they come.
  void slow(std::size_t bytes) { bytes_per_ms_ = bytes; }

  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  struct Pair {
    std::array<int, 2> ends;  // the caller, the target
    bool has_target_ended = false;
  };

  void work();
  bool forward(Pair& pair, std::size_t from);
  void falsify(std::array<char, 65536>& bytes, std::size_t count, std::size_t from);
  void accept_one();
  static void close(Pair& pair);

  int listener_;
  std::uint16_t target_;
  std::vector<Pair> pairs_;
  // By who has sent the bytes; -1: never.
  std::array<std::atomic<std::int64_t>, 2> cut_after_{-1, -1};
  std::array<std::atomic<std::int64_t>, 2> cut_next_after_{-1, -1};
  std::array<std::atomic<std::int64_t>, 2> falsify_after_{-1, -1};
  std::atomic<bool> targets_end_ = false;
  std::atomic<bool> is_stalled_ = false;
  std::atomic<std::size_t> bytes_per_ms_ = 0;
  std::atomic<int> accepted_ = 0;
  std::atomic<bool> ends_ = false;
  std::thread thread_;
};

class GridTest : public ::testing::Test {
 protected:
  static GridOptions options(const std::string& name, std::uint16_t port) {
    GridOptions options;
    options.name = name;
    options.listen = "127.0.0.1";
    options.port = port;
    options.secret = "a secret for the tests";
    options.redial_start = 5ms;
    options.redial_max = 50ms;
    options.reverse_dial_after = 100ms;
    return options;
  }

  static std::unique_ptr<GridNode> make(const GridOptions& options) {
    auto node = GridNode::create(options);
    EXPECT_TRUE(node.has_value()) << to_string(node.error());
    return std::move(*node);
  }

  static void start(GridNode& node) {
    const Result<void> started = node.start();
    EXPECT_TRUE(started.has_value()) << to_string(started.error());
  }

  static GridPeer peer(GridNode& node, const std::string& name) {
    Result<GridPeer> peer = node.peer(name);
    EXPECT_TRUE(peer.has_value());
    return *peer;
  }

  static GridCallOptions patient() {
    GridCallOptions options;
    options.timeout = kPatience;
    options.wait_ready = true;
    return options;
  }

  // Handlers that most tests want.
  static void serve(GridNode& node) {
    node.handle("echo", [](GridRequest request) -> Task<GridResult<Bytes>> {
      co_return std::move(request.payload);
    });
    node.handle_inline(
        "quick", [](std::string_view payload, GridReply reply) { reply.respond(Bytes(payload)); });
    node.handle_stream("echo-stream", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
      while (true) {
        GridResult<std::optional<Bytes>> message = co_await stream.receive();
        if (!message.has_value()) {
          co_return std::unexpected(message.error());
        }
        if (!message->has_value()) {
          co_return GridResult<void>{};
        }
        const GridResult<void> sent = co_await stream.send(std::move(**message));
        if (!sent.has_value()) {
          co_return std::unexpected(sent.error());
        }
      }
    });
  }
};

// Two nodes that know each other.
class TwoNodes : public GridTest {
 protected:
  void SetUp() override {
    one = make(options(port_one.address(), port_one.port()));
    two = make(options(port_two.address(), port_two.port()));
    serve(*one);
    serve(*two);
    to_two.emplace(peer(*one, port_two.address()));
    to_one.emplace(peer(*two, port_one.address()));
    start(*one);
    start(*two);
  }

  ReservedPort port_one;
  ReservedPort port_two;
  std::unique_ptr<GridNode> one;
  std::unique_ptr<GridNode> two;
  std::optional<GridPeer> to_two;
  std::optional<GridPeer> to_one;
};

// The same with a relay: `one` dials `two` through it.
class Relayed : public GridTest {
 protected:
  void begin(const std::function<void(GridOptions&)>& change = [](GridOptions&) {}) {
    // Whoever is designated dials; names follow from ports.
    while (port_one == nullptr || !grid::is_designated(port_one->address(), outside.address())) {
      port_one = std::make_unique<ReservedPort>();
    }
    GridOptions of_one = options(port_one->address(), port_one->port());
    GridOptions of_two = options(outside.address(), inside.port());
    // The other way would go around the relay.
    of_one.listen.clear();
    change(of_one);
    change(of_two);
    one = make(of_one);
    two = make(of_two);
    serve(*one);
    serve(*two);
    relay = std::make_unique<Relay>(outside.port(), inside.port());
    to_two.emplace(peer(*one, outside.address()));
    static_cast<void>(peer(*two, port_one->address()));
    start(*one);
    start(*two);
  }

  ReservedPort outside;
  ReservedPort inside;
  std::unique_ptr<ReservedPort> port_one;
  std::unique_ptr<Relay> relay;
  std::unique_ptr<GridNode> one;
  std::unique_ptr<GridNode> two;
  std::optional<GridPeer> to_two;
};

}  // namespace trunkline::net
