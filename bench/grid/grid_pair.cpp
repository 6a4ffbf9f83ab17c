// SPDX-License-Identifier: Apache-2.0
//
// The subject itself: two nodes of the grid.
#include "grid/grid_nodes.h"

#include <functional>
#include <utility>

namespace trunkline::bench {

namespace {

using namespace std::chrono_literals;

// Large messages, so many open at once. They are made before the measuring begins: making them
// takes longer than sending them. Each is followed by the next on the node's thread.
class Bulk {
 public:
  Bulk(GridPeer peer, std::size_t bytes, std::size_t total_bytes)
      : peer_(std::move(peer)), bytes_(bytes), count_(total_bytes / bytes) {
    for (std::size_t i = 0; i < count_; ++i) {
      prepared_.emplace_back(bytes_, 'x');
    }
  }

  Bulk(const Bulk&) = delete;
  Bulk& operator=(const Bulk&) = delete;
  ~Bulk() = default;

  void start() {
    began_ = now_ns();
    // They belong to the node's thread from the first answer on.
    std::vector<Bytes> first;
    while (first.size() < kBulkInFlight && !prepared_.empty()) {
      first.push_back(std::move(prepared_.back()));
      prepared_.pop_back();
    }
    open_ = first.size();
    for (Bytes& payload : first) {
      send(std::move(payload));
    }
  }

  void wait() { done_.wait(); }

  [[nodiscard]] bool is_done() const { return ended_ != 0; }

  [[nodiscard]] double bytes_per_second() const {
    return static_cast<double>(count_ * bytes_) * 1e9 / static_cast<double>(ended_ - began_);
  }

 private:
  void send(Bytes payload) {
    GridCallOptions options;
    options.timeout = 60s;
    peer_.call("sink", std::move(payload), std::move(options),
               [this](const GridResult<std::string_view>& result) {
                 if (!result.has_value()) {
                   give_up("a large call fails: " + to_string(result.error()));
                 }
                 if (!prepared_.empty()) {
                   Bytes next = std::move(prepared_.back());
                   prepared_.pop_back();
                   send(std::move(next));
                 } else if (--open_ == 0) {
                   ended_ = now_ns();
                   done_.open();
                 }
               });
  }

  const GridPeer peer_;
  const std::size_t bytes_;
  const std::size_t count_;
  std::vector<Bytes> prepared_;
  std::size_t open_ = 0;
  std::uint64_t began_ = 0;
  std::atomic<std::uint64_t> ended_ = 0;
  Latch done_;
};

Task<GridResult<std::uint64_t>> send_stream(GridPeer to, std::size_t bytes, std::uint64_t ends) {
  GridResult<GridStream> stream = co_await to.open("read", "");
  if (!stream.has_value()) {
    co_return std::unexpected(stream.error());
  }
  std::uint64_t count = 0;
  while (count % 64 != 0 || now_ns() < ends) {
    const GridResult<void> sent = co_await stream->send(Bytes(bytes, 'x'));
    if (!sent.has_value()) {
      co_return std::unexpected(sent.error());
    }
    ++count;
  }
  stream->finish();
  const GridResult<std::optional<Bytes>> end = co_await stream->receive();
  if (!end.has_value()) {
    co_return std::unexpected(end.error());
  }
  co_return count;
}

class GridPair final : public Subject {
 public:
  GridPair() {
    wait_connected(to_two_);
    wait_connected(to_one_);
  }

  [[nodiscard]] std::string_view name() const override { return "trunkline"; }

  std::optional<CallFigures> calls(std::size_t bytes, int in_flight, Milliseconds time) override {
    GridLoad load(to_two_, bytes, in_flight, is_after(time));
    load.start();
    load.wait();
    return figures_of(load.times(), load.took_ns());
  }

  std::optional<double> stream(std::size_t bytes, Milliseconds time) override {
    Latch done;
    std::uint64_t count = 0;
    const std::uint64_t began = now_ns();
    const auto ends = began + static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
    run_task(send_stream(to_two_, bytes, ends),
             [&](std::optional<GridResult<std::uint64_t>> result, const std::exception_ptr&) {
               if (!result.has_value() || !result->has_value()) {
                 give_up("a stream fails");
               }
               count = **result;
               done.open();
             });
    done.wait();
    return static_cast<double>(count) * 1e9 / static_cast<double>(now_ns() - began);
  }

  std::optional<double> bulk(std::size_t bytes) override {
    Bulk bulk(to_two_, bytes, kBulkBytes);
    bulk.start();
    bulk.wait();
    return bulk.bytes_per_second();
  }

  // For as long as the large messages take.
  std::optional<BesideFigures> beside(std::size_t bulk_bytes) override {
    Bulk there(to_two_, bulk_bytes, kBulkBytes);
    Bulk here(to_one_, bulk_bytes, kBulkBytes);
    GridLoad small(to_two_, 64, 1, [&] { return there.is_done() || here.is_done(); });
    there.start();
    here.start();
    small.start();
    small.wait();
    there.wait();
    here.wait();
    return BesideFigures{figures_of(small.times(), small.took_ns()),
                         there.bytes_per_second() + here.bytes_per_second()};
  }

 private:
  const std::string one_name_ = free_address();
  const std::string two_name_ = free_address();
  const std::unique_ptr<GridNode> one_ = make_node(one_name_);
  const std::unique_ptr<GridNode> two_ = make_node(two_name_);
  const GridPeer to_two_ = peer_of(*one_, two_name_);
  const GridPeer to_one_ = peer_of(*two_, one_name_);
};

}  // namespace

std::unique_ptr<Subject> make_grid_pair() {
  return std::make_unique<GridPair>();
}

}  // namespace trunkline::bench
