// SPDX-License-Identifier: Apache-2.0
//
// Payloads of typed handlers, of a peer that has any fault: each is one of the type, and then the
// same after packing, or it is not; it never throws, and allocates no more than its size allows.
#include <trunkline/grid_msgpack.h>

#include "event_recorder.h"

#include <sanitizer/allocator_interface.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace {

using trunkline::Bytes;
using trunkline::GridCodec;
using trunkline::fuzz::require;

struct Request {
  std::string uid{};
  std::vector<std::string> resources{};
  std::int32_t quorum = 0;
  bool is_exclusive = false;
  std::optional<std::string> note{};
  MSGPACK_DEFINE(uid, resources, quorum, is_exclusive, note)

  friend bool operator==(const Request&, const Request&) = default;
};

struct ByName {
  std::int64_t count = 0;
  std::vector<Request> requests{};
  MSGPACK_DEFINE_MAP(count, requests)

  friend bool operator==(const ByName&, const ByName&) = default;
};

// The payload says how deep it is.
struct Tree {
  std::vector<Tree> children{};
  MSGPACK_DEFINE(children)

  friend bool operator==(const Tree&, const Tree&) = default;
};

// A byte of payload is at most an element, and an element at most a node of a map with an object of
// msgpack's before it; what an empty payload costs is an exception and the first part of a zone.
constexpr std::size_t kBytesOfAByte = 1024;
constexpr std::size_t kBytesOfNothing = 64UL * 1024;

bool g_counts = false;
std::size_t g_allocated = 0;

void on_malloc(const volatile void* /*memory*/, std::size_t bytes) {
  g_allocated += g_counts ? bytes : 0;
}

void on_free(const volatile void* /*memory*/) {}

template <class T>
void unpack_and_pack(std::string_view bytes) {
  T value{};
  g_allocated = 0;
  g_counts = true;
  const bool is_one = GridCodec<T>::unpack(bytes, value);
  g_counts = false;
  require(g_allocated <= bytes.size() * kBytesOfAByte + kBytesOfNothing);
  if (!is_one) {
    return;
  }
  Bytes packed;
  GridCodec<T>::pack(value, packed);
  T again{};
  require(GridCodec<T>::unpack(packed, again));
  require(again == value);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  require(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) {
    return 0;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 7) {
    case 0:
      unpack_and_pack<std::vector<std::string>>(bytes);
      break;
    case 1:
      unpack_and_pack<std::map<std::string, std::vector<std::string>>>(bytes);
      break;
    case 2:
      unpack_and_pack<std::vector<std::map<std::string, std::map<int, std::string>>>>(bytes);
      break;
    case 3:
      unpack_and_pack<Request>(bytes);
      break;
    case 4:
      unpack_and_pack<ByName>(bytes);
      break;
    case 5:
      unpack_and_pack<Tree>(bytes);
      break;
    default:
      unpack_and_pack<std::tuple<std::uint8_t, std::string, std::vector<char>>>(bytes);
      break;
  }
  return 0;
}
