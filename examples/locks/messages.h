// SPDX-License-Identifier: Apache-2.0
//
// What takers and lock nodes say to each other, and how it becomes bytes.
#pragma once

#include <trunkline/grid.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace locks {

// Random and new for each attempt: what is late of one attempt cannot touch another one.
using Owner = std::array<char, 16>;

inline constexpr std::size_t kNameBytesMax = 255;

// acquire, refresh and release: the same for all three.
struct LockRequest {
  Owner owner{};
  std::uint32_t lease_ms = 0;  // of a release nothing
  std::string name{};
};

enum class Verdict : std::uint8_t {
  kGranted,   // it was free, and is the owner's from now on
  kKept,      // it was the owner's all the time, and stays so
  kReleased,  // it is not the owner's (any more)
  kHeld,      // it is somebody else's
  kTooEarly,  // this node has not been up for long enough to know that nobody has it
  kRefused,   // no lock of this name, no lease so long, or no room
};

struct LockReply {
  Verdict verdict = Verdict::kRefused;
};

}  // namespace locks

namespace trunkline {

// owner 16 · lease_ms u32, little-endian · name
template <>
struct GridCodec<locks::LockRequest> {
  static void pack(const locks::LockRequest& request, Bytes& out) {
    out.append(request.owner.data(), request.owner.size());
    for (unsigned shift = 0; shift < 32; shift += 8) {
      out += static_cast<char>(request.lease_ms >> shift);
    }
    out += request.name;
  }

  static bool unpack(std::string_view bytes, locks::LockRequest& request) {
    constexpr std::size_t kHead = sizeof(locks::Owner) + 4;
    if (bytes.size() <= kHead || bytes.size() > kHead + locks::kNameBytesMax) {
      return false;
    }
    bytes.copy(request.owner.data(), request.owner.size());
    request.lease_ms = 0;
    for (unsigned i = 0; i < 4; ++i) {
      request.lease_ms |= std::uint32_t{static_cast<unsigned char>(bytes[sizeof(locks::Owner) + i])}
                          << (8 * i);
    }
    request.name = bytes.substr(kHead);
    return true;
  }
};

template <>
struct GridCodec<locks::LockReply> {
  static void pack(const locks::LockReply& reply, Bytes& out) {
    out += static_cast<char>(reply.verdict);
  }

  static bool unpack(std::string_view bytes, locks::LockReply& reply) {
    reply.verdict = bytes.size() == 1 ? static_cast<locks::Verdict>(bytes[0]) : reply.verdict;
    return bytes.size() == 1 && reply.verdict <= locks::Verdict::kRefused;
  }
};

}  // namespace trunkline
