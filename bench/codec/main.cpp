// SPDX-License-Identifier: Apache-2.0
//
// What it costs to make a payload of a small struct, the arguments of a lock, and a struct of the
// payload: by GridCodec, with buffers reused, and by msgpack-cxx's own functions.
#include <trunkline/grid_msgpack.h>

#include "measure/clock.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

struct LockArguments {
  std::string uid{};
  std::vector<std::string> resources{};
  std::string owner{};
  std::int32_t quorum = 0;
  MSGPACK_DEFINE(uid, resources, owner, quorum)
};

const LockArguments kLock{
    "6f1c9a52-6d0c-4c2e-9b51-0d6c5cd5f2a7", {"bucket/object"}, "10.0.0.17:9000", 3};

constexpr int kRounds = 5;

// The best of a few rounds, in ns a time.
template <class Work>
double measure(std::uint64_t times, Work work) {
  double best = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t began = trunkline::bench::now_ns();
    for (std::uint64_t i = 0; i < times; ++i) {
      work();
    }
    best = std::min(
        best, static_cast<double>(trunkline::bench::now_ns() - began) / static_cast<double>(times));
  }
  return best;
}

void fail() {
  fmt::print(stderr, "bench codec: a payload did not come back\n");
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t times = 2'000'000;
  CLI::App app("A small struct's payload: ns to make it and to read it");
  app.add_option("--times", times, "In a round")->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  using Codec = trunkline::GridCodec<LockArguments>;
  trunkline::Bytes bytes;
  LockArguments back;
  const double pack = measure(times, [&] {
    bytes.clear();
    Codec::pack(kLock, bytes);
  });
  const double unpack = measure(times, [&] {
    if (!Codec::unpack(bytes, back)) {
      fail();
    }
  });
  const double plain_pack = measure(times, [&] {
    msgpack::sbuffer buffer;
    msgpack::pack(buffer, kLock);
    if (buffer.size() != bytes.size()) {
      fail();
    }
  });
  const double plain_unpack =
      measure(times, [&] { msgpack::unpack(bytes.data(), bytes.size()).get().convert(back); });
  fmt::print("{}\n", nlohmann::json{{"bench", "codec"},
                                    {"bytes", bytes.size()},
                                    {"pack_ns", pack},
                                    {"unpack_ns", unpack},
                                    {"msgpack_pack_ns", plain_pack},
                                    {"msgpack_unpack_ns", plain_unpack}}
                         .dump());
}
