// SPDX-License-Identifier: Apache-2.0
#include "grid/costs.h"

#include "grid/grid_nodes.h"

#include <malloc.h>

#include <cstring>
#include <utility>
#include <vector>

namespace trunkline::bench {

using namespace std::chrono_literals;

// What a lock service asks: who wants what, and how many have to agree.
struct LockArguments {
  std::string uid;
  std::string owner;
  std::string source;
  std::vector<std::string> resources;
  std::uint32_t quorum = 0;

  friend bool operator==(const LockArguments&, const LockArguments&) = default;
};

}  // namespace trunkline::bench

namespace trunkline {

template <>
struct GridCodec<bench::LockArguments> {
  static void pack(const bench::LockArguments& value, Bytes& out) {
    put(out, value.uid);
    put(out, value.owner);
    put(out, value.source);
    put_number(out, static_cast<std::uint32_t>(value.resources.size()));
    for (const std::string& resource : value.resources) {
      put(out, resource);
    }
    put_number(out, value.quorum);
  }

  static bool unpack(std::string_view bytes, bench::LockArguments& value) {
    std::uint32_t count = 0;
    if (!take(bytes, value.uid) || !take(bytes, value.owner) || !take(bytes, value.source) ||
        !take_number(bytes, count) || count > bytes.size()) {
      return false;
    }
    value.resources.resize(count);
    for (std::string& resource : value.resources) {
      if (!take(bytes, resource)) {
        return false;
      }
    }
    return take_number(bytes, value.quorum) && bytes.empty();
  }

 private:
  static void put_number(Bytes& out, std::uint32_t number) {
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    out.append(bytes, sizeof bytes);
  }

  static void put(Bytes& out, std::string_view text) {
    put_number(out, static_cast<std::uint32_t>(text.size()));
    out += text;
  }

  static bool take_number(std::string_view& bytes, std::uint32_t& number) {
    if (bytes.size() < sizeof number) {
      return false;
    }
    std::memcpy(&number, bytes.data(), sizeof number);
    bytes.remove_prefix(sizeof number);
    return true;
  }

  static bool take(std::string_view& bytes, std::string& text) {
    std::uint32_t size = 0;
    if (!take_number(bytes, size) || size > bytes.size()) {
      return false;
    }
    text.assign(bytes.substr(0, size));
    bytes.remove_prefix(size);
    return true;
  }
};

}  // namespace trunkline

namespace trunkline::bench {

namespace {

std::size_t heap_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Opens a stream and keeps it.
Task<int> open_one(GridPeer to, std::vector<GridStream>& streams) {
  GridResult<GridStream> stream = co_await to.open("read", "");
  if (!stream.has_value()) {
    give_up("a stream does not open: " + to_string(stream.error()));
  }
  streams.push_back(std::move(*stream));
  co_return 0;
}

// All of them, and an echo behind the last: then the handlers have begun.
void open_streams(const GridPeer& to, std::size_t count, std::vector<GridStream>& streams) {
  streams.reserve(count);
  Latch done;
  const auto all = [](GridPeer peer, std::size_t number,
                      std::vector<GridStream>& kept) -> Task<int> {
    for (std::size_t i = 0; i < number; ++i) {
      co_await open_one(peer, kept);
    }
    co_return co_await std::move(peer).call("echo", "", {}) ? 0 : 1;
  };
  run_task(all(to, count, streams),
           [&done](std::optional<int>, const std::exception_ptr&) { done.open(); });
  done.wait();
}

double measure_streams() {
  constexpr std::size_t kStreams = 10'000;
  const std::string one_name = free_address();
  const std::string two_name = free_address();
  const auto one = make_node(one_name);
  const auto two = make_node(two_name);
  const GridPeer to_two = peer_of(*one, two_name);
  const GridPeer to_one = peer_of(*two, one_name);
  wait_connected(to_two);
  wait_connected(to_one);
  std::vector<GridStream> warm;
  open_streams(to_two, 100, warm);
  std::vector<GridStream> streams;
  streams.reserve(kStreams);
  const std::size_t before = heap_bytes();
  open_streams(to_two, kStreams, streams);
  return static_cast<double>(heap_bytes() - before) / static_cast<double>(kStreams);
}

// A hub and nodes around it, all running; then they connect.
double measure_connections() {
  constexpr std::size_t kNodes = 16;
  const std::string hub_name = free_address();
  const auto hub = make_node(hub_name);
  std::vector<std::string> names;
  std::vector<std::unique_ptr<GridNode>> nodes;
  for (std::size_t i = 0; i < kNodes; ++i) {
    names.push_back(free_address());
    nodes.push_back(make_node(names.back()));
  }
  const auto connect = [&](std::size_t from, std::size_t to) {
    std::vector<GridPeer> peers;
    for (std::size_t i = from; i < to; ++i) {
      peers.push_back(peer_of(*hub, names[i]));
      peers.push_back(peer_of(*nodes[i], hub_name));
    }
    for (const GridPeer& peer : peers) {
      wait_connected(peer);
    }
  };
  connect(0, 4);
  const std::size_t before = heap_bytes();
  connect(4, kNodes);
  return static_cast<double>(heap_bytes() - before) / static_cast<double>(kNodes - 4);
}

}  // namespace

CodecFigures measure_codec() {
  constexpr int kTimes = 1'000'000;
  const LockArguments in{"5f0c9a1e-7d1b-4c5e-9a55-1f2b3c4d5e6f",
                         "10.0.0.17:9000",
                         "[scanner.go:117:Lock()]",
                         {"bucket/some/object/name"},
                         3};
  Bytes bytes;
  LockArguments out;
  const auto pack = [&] {
    bytes.clear();
    GridCodec<LockArguments>::pack(in, bytes);
  };
  const auto unpack = [&] {
    if (!GridCodec<LockArguments>::unpack(bytes, out)) {
      give_up("the codec does not read what it wrote");
    }
  };
  pack();
  unpack();
  const std::uint64_t allocations_before = allocations();
  const std::uint64_t began = now_ns();
  for (int i = 0; i < kTimes; ++i) {
    pack();
  }
  const std::uint64_t packed = now_ns();
  for (int i = 0; i < kTimes; ++i) {
    unpack();
  }
  const std::uint64_t unpacked = now_ns();
  if (out != in) {
    give_up("the codec reads something else");
  }
  return {static_cast<double>(packed - began) / kTimes,
          static_cast<double>(unpacked - packed) / kTimes,
          static_cast<double>(allocations() - allocations_before) / kTimes};
}

MemoryFigures measure_memory() {
  return {measure_streams(), measure_connections()};
}

}  // namespace trunkline::bench
