// SPDX-License-Identifier: Apache-2.0
//
// Two nodes of the grid in one process over loopback, each with its thread: calls a second and
// their times, streams, large messages, and small calls beside them. See bench/README.md.
#include <trunkline/grid.h>

#include "measure/clock.h"
#include "measure/histogram.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;
using namespace std::chrono_literals;
using bench::Histogram;
using bench::now_ns;

constexpr std::string_view kOne = "127.0.0.1:41801";
constexpr std::string_view kTwo = "127.0.0.1:41802";

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

class Latch {
 public:
  void count_down() {
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    changed_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_done_ = false;
};

// So many calls at once, each followed by the next, for a time. Its counts belong to the node's
// thread until it is done.
class Load {
 public:
  Load(const GridPeer& peer, std::size_t bytes, int in_flight, std::chrono::milliseconds time)
      : peer_(peer), payload_(bytes, 'x'), in_flight_(in_flight), time_(time) {}

  void start() {
    began_ = now_ns();
    ends_ = began_ + static_cast<std::uint64_t>(std::chrono::nanoseconds(time_).count());
    for (int i = 0; i < in_flight_; ++i) {
      ++open_;
    }
    for (int i = 0; i < in_flight_; ++i) {
      next();
    }
  }

  void wait() { done_.wait(); }

  [[nodiscard]] double per_second() const {
    return static_cast<double>(times_.total()) * 1e9 / static_cast<double>(ended_ - began_);
  }

  [[nodiscard]] double percentile_us(double share) const {
    return static_cast<double>(times_.percentile(share)) / 1000.0;
  }

 private:
  void next() {
    GridCallOptions options;
    options.timeout = 60s;
    peer_.call("echo", payload_, options,
               [this, sent = now_ns()](GridResult<std::string_view> result) {
                 if (!result.has_value()) {
                   give_up("a call fails: " + to_string(result.error()));
                 }
                 const std::uint64_t now = now_ns();
                 times_.add(now - sent);
                 if (now < ends_) {
                   next();
                 } else if (--open_ == 0) {
                   ended_ = now;
                   done_.count_down();
                 }
               });
  }

  GridPeer peer_;
  const Bytes payload_;
  const int in_flight_;
  const std::chrono::milliseconds time_;
  std::uint64_t began_ = 0;
  std::uint64_t ends_ = 0;
  std::uint64_t ended_ = 0;
  std::atomic<int> open_ = 0;
  Histogram times_;
  Latch done_;
};

nlohmann::json measure_calls(const GridPeer& peer, std::size_t bytes, int in_flight,
                             std::chrono::milliseconds time) {
  Load load(peer, bytes, in_flight, time);
  load.start();
  load.wait();
  fmt::print("calls {:>9} B {:>4} in flight {:>10.0f}/s  p50 {:>8.1f} us  p99 {:>8.1f} us\n", bytes,
             in_flight, load.per_second(), load.percentile_us(0.5), load.percentile_us(0.99));
  return {{"what", "calls"},
          {"bytes", bytes},
          {"in_flight", in_flight},
          {"per_second", load.per_second()},
          {"p50_us", load.percentile_us(0.5)},
          {"p99_us", load.percentile_us(0.99)}};
}

// Sends large messages one after the other until it is told to stop. Payloads are made on its own
// thread: making one on the node's would be measured as the grid's.
class Bulk {
 public:
  Bulk(GridPeer peer, std::size_t bytes) : peer_(std::move(peer)), bytes_(bytes) {
    thread_ = std::thread([this] { work(); });
  }

  Bulk(const Bulk&) = delete;
  Bulk& operator=(const Bulk&) = delete;

  ~Bulk() { stop(); }

  void stop() {
    ends_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  [[nodiscard]] double bytes_per_second() const {
    return static_cast<double>(count_ * bytes_) * 1e9 / static_cast<double>(took_ns_);
  }

 private:
  void work() {
    const std::uint64_t began = now_ns();
    while (!ends_) {
      Latch done;
      peer_.call("sink", Bytes(bytes_, 'x'), {.timeout = 60s},
                 [&done](GridResult<std::string_view> result) {
                   if (!result.has_value()) {
                     give_up("a large call fails: " + to_string(result.error()));
                   }
                   done.count_down();
                 });
      done.wait();
      ++count_;
    }
    took_ns_ = now_ns() - began;
  }

  const GridPeer peer_;
  const std::size_t bytes_;
  std::atomic<bool> ends_ = false;
  std::uint64_t count_ = 0;
  std::uint64_t took_ns_ = 1;
  std::thread thread_;
};

nlohmann::json measure_bulk(const GridPeer& peer, std::size_t bytes,
                            std::chrono::milliseconds time) {
  Bulk bulk(peer, bytes);
  Load clock(peer, 0, 1, time);  // small calls, only for the time
  clock.start();
  clock.wait();
  bulk.stop();
  fmt::print("messages of {} MiB, one after the other: {:.2f} GB/s\n", bytes >> 20U,
             bulk.bytes_per_second() / 1e9);
  return {{"what", "bulk"}, {"bytes", bytes}, {"bytes_per_second", bulk.bytes_per_second()}};
}

nlohmann::json measure_beside(const GridPeer& peer, const GridPeer& back, std::size_t bulk_bytes,
                              std::chrono::milliseconds time) {
  Bulk there(peer, bulk_bytes);
  Bulk here(back, bulk_bytes);
  Load small(peer, 64, 1, time);
  small.start();
  small.wait();
  there.stop();
  here.stop();
  fmt::print(
      "small calls beside {} MiB both ways: p50 {:.1f} us  p99 {:.1f} us  p99.9 {:.1f} us, "
      "bulk {:.2f} GB/s\n",
      bulk_bytes >> 20U, small.percentile_us(0.5), small.percentile_us(0.99),
      small.percentile_us(0.999), (there.bytes_per_second() + here.bytes_per_second()) / 1e9);
  return {{"what", "small beside bulk"},
          {"bulk_bytes", bulk_bytes},
          {"p50_us", small.percentile_us(0.5)},
          {"p99_us", small.percentile_us(0.99)}};
}

// One stream, one way, until `count` messages have been read there.
nlohmann::json measure_stream(const GridPeer& peer, std::size_t bytes, std::uint64_t count) {
  const auto send = [](GridPeer to, std::size_t size,
                       std::uint64_t number) -> Task<GridResult<std::uint64_t>> {
    GridResult<GridStream> stream = co_await to.open("count", "");
    if (!stream.has_value()) {
      co_return std::unexpected(stream.error());
    }
    for (std::uint64_t i = 0; i < number; ++i) {
      const GridResult<void> sent = co_await stream->send(Bytes(size, 'x'));
      if (!sent.has_value()) {
        co_return std::unexpected(sent.error());
      }
    }
    stream->finish();
    const GridResult<std::optional<Bytes>> end = co_await stream->receive();
    if (!end.has_value()) {
      co_return std::unexpected(end.error());
    }
    co_return number;
  };
  Latch done;
  const std::uint64_t began = now_ns();
  run_task(send(peer, bytes, count),
           [&done](std::optional<GridResult<std::uint64_t>> result, const std::exception_ptr&) {
             if (!result.has_value() || !result->has_value()) {
               give_up("a stream fails");
             }
             done.count_down();
           });
  done.wait();
  const double per_second =
      static_cast<double>(count) * 1e9 / static_cast<double>(now_ns() - began);
  fmt::print("stream of {} B messages: {:.0f}/s\n", bytes, per_second);
  return {{"what", "stream"}, {"bytes", bytes}, {"per_second", per_second}};
}

std::unique_ptr<GridNode> make_node(std::string_view name) {
  GridOptions options;
  options.name = name;
  options.listen = "127.0.0.1";
  options.port =
      static_cast<std::uint16_t>(std::stoi(options.name.substr(options.name.find(':') + 1)));
  auto node = GridNode::create(options);
  if (!node.has_value()) {
    give_up(to_string(node.error()));
  }
  (*node)->handle_inline(
      "echo", [](std::string_view payload, GridReply reply) { reply.respond(Bytes(payload)); });
  (*node)->handle_inline("sink", [](std::string_view, GridReply reply) { reply.respond({}); });
  (*node)->handle_stream("count", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    while (true) {
      const GridResult<std::optional<Bytes>> message = co_await stream.receive();
      if (!message.has_value()) {
        co_return std::unexpected(message.error());
      }
      if (!message->has_value()) {
        co_return GridResult<void>{};
      }
    }
  });
  return std::move(*node);
}

GridPeer peer_of(GridNode& node, std::string_view name) {
  Result<GridPeer> peer = node.peer(std::string(name));
  if (!peer.has_value()) {
    give_up(to_string(peer.error()));
  }
  return std::move(*peer);
}

// Waits until the two are connected.
void connect(const GridPeer& peer) {
  Latch up;
  GridCallOptions options;
  options.timeout = 20s;
  options.wait_ready = true;
  peer.call("echo", "", options, [&up](GridResult<std::string_view> result) {
    if (!result.has_value()) {
      give_up("no connection: " + to_string(result.error()));
    }
    up.count_down();
  });
  up.wait();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The grid: two nodes in one process over loopback."};
  int milliseconds = 1000;
  app.add_option("--ms", milliseconds, "for each row of calls");
  CLI11_PARSE(app, argc, argv);
  const std::chrono::milliseconds time(milliseconds);
  const auto one = make_node(kOne);
  const auto two = make_node(kTwo);
  const GridPeer to_two = peer_of(*one, kTwo);
  const GridPeer to_one = peer_of(*two, kOne);
  for (GridNode* node : {one.get(), two.get()}) {
    if (const Result<void> started = node->start(); !started.has_value()) {
      give_up(to_string(started.error()));
    }
  }
  connect(to_two);
  connect(to_one);
  nlohmann::json rows = nlohmann::json::array();
  for (const std::size_t bytes : {0UL, 512UL, 4096UL}) {
    for (const int in_flight : {1, 32, 128, 512}) {
      rows.push_back(measure_calls(to_two, bytes, in_flight, time));
    }
  }
  for (const std::size_t mib : {1UL, 48UL}) {
    rows.push_back(measure_bulk(to_two, mib << 20U, time));
  }
  rows.push_back(measure_stream(to_two, 512, 1'000'000));
  for (const std::size_t mib : {1UL, 48UL}) {
    rows.push_back(measure_beside(to_two, to_one, mib << 20U, time));
  }
  fmt::print("{}\n", rows.dump());
  return 0;
}
