// SPDX-License-Identifier: Apache-2.0
#include "grid/codec.h"

#include <trunkline/grid.h>

#include "grid/allocations.h"
#include "grid/subject.h"
#include "measure/clock.h"

#ifdef TRUNKLINE_BENCH_MSGPACK
#include <trunkline/grid_msgpack.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

// What a lock service asks: who wants what, and how many have to agree. 70 bytes by msgpack.
struct LockArguments {
  std::string uid = "6f1c9a52-6d0c-4c2e-9b51-0d6c5cd5f2a7";
  std::vector<std::string> resources = {"bucket/object"};
  std::string owner = "10.0.0.17:9000";
  std::uint32_t quorum = 3;
#ifdef TRUNKLINE_BENCH_MSGPACK
  MSGPACK_DEFINE(uid, resources, owner, quorum)
#endif

  friend bool operator==(const LockArguments&, const LockArguments&) = default;
};

// The same with a codec of its own.
struct OwnLock : LockArguments {};

}  // namespace trunkline::bench

namespace trunkline {

template <>
struct GridCodec<bench::OwnLock> {
  static void pack(const bench::OwnLock& value, Bytes& out) {
    put(out, value.uid);
    put(out, value.owner);
    put_number(out, static_cast<std::uint32_t>(value.resources.size()));
    for (const std::string& resource : value.resources) {
      put(out, resource);
    }
    put_number(out, value.quorum);
  }

  static bool unpack(std::string_view bytes, bench::OwnLock& value) {
    std::uint32_t count = 0;
    if (!take(bytes, value.uid) || !take(bytes, value.owner) || !take_number(bytes, count) ||
        count > bytes.size()) {
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

constexpr int kTimes = 400'000;
constexpr int kRounds = 5;

// The best of a few rounds, in ns a time: what is slower was disturbed.
template <class Work>
double best_of(Work work) {
  double best = std::numeric_limits<double>::max();
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t began = now_ns();
    for (int i = 0; i < kTimes; ++i) {
      work();
    }
    best = std::min(best, static_cast<double>(now_ns() - began) / kTimes);
  }
  return best;
}

template <class T, class Pack, class Unpack>
CodecFigures measure(Bytes& bytes, T& back, Pack pack, Unpack unpack) {
  const T lock;
  back.quorum = 0;
  pack(lock, bytes);
  unpack(bytes, back);
  if (back != lock) {
    give_up("a codec reads something else than it wrote");
  }
  const std::uint64_t before = allocations();
  CodecFigures figures;
  figures.pack_ns = best_of([&] { pack(lock, bytes); });
  figures.unpack_ns = best_of([&] { unpack(bytes, back); });
  figures.allocations = static_cast<double>(allocations() - before) / (kRounds * kTimes);
  return figures;
}

template <class T>
CodecFigures measure_codec() {
  Bytes bytes;
  T back;
  return measure(
      bytes, back,
      [](const T& lock, Bytes& out) {
        out.clear();
        GridCodec<T>::pack(lock, out);
      },
      [](std::string_view in, T& out) {
        if (!GridCodec<T>::unpack(in, out)) {
          give_up("a codec does not read what it wrote");
        }
      });
}

}  // namespace

CodecFigures measure_own_codec() {
  return measure_codec<OwnLock>();
}

std::optional<CodecFigures> measure_msgpack() {
#ifdef TRUNKLINE_BENCH_MSGPACK
  return measure_codec<LockArguments>();
#else
  return std::nullopt;
#endif
}

std::optional<CodecFigures> measure_plain_msgpack() {
#ifdef TRUNKLINE_BENCH_MSGPACK
  Bytes bytes;
  LockArguments back;
  return measure(
      bytes, back,
      [](const LockArguments& lock, Bytes& out) {
        msgpack::sbuffer buffer;
        msgpack::pack(buffer, lock);
        out.assign(buffer.data(), buffer.size());
      },
      [](std::string_view in, LockArguments& out) {
        msgpack::unpack(in.data(), in.size()).get().convert(out);
      });
#else
  return std::nullopt;
#endif
}

}  // namespace trunkline::bench
