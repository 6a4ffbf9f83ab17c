// SPDX-License-Identifier: Apache-2.0
//
// The handshake's messages as bytes (docs/grid-protocol.md, "Handshake").
#pragma once

#include <trunkline/error.h>

#include "core/time.h"
#include "grid/limits.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::grid {

inline constexpr std::uint8_t kWireVersion = 1;

inline constexpr std::uint32_t kFeatureChecksum = 1U << 0U;
inline constexpr std::uint32_t kFeatureWantsChecksum = 1U << 1U;
inline constexpr std::uint32_t kFeatureGuest = 1U << 2U;

// Of one start of a node; not all zeros.
using Instance = std::array<std::uint8_t, 16>;
using Nonce = std::array<std::uint8_t, 32>;
using Proof = std::array<std::uint8_t, 32>;

enum class HandshakeType : std::uint8_t { kHello = 1, kProof = 2, kWelcome = 3, kRefused = 4 };

enum class RefusalCode : std::uint8_t {
  kMalformed = 1,
  kVersion = 2,
  kName = 3,
  kSecret = 4,
  kSkew = 5,
  kInUse = 6,
  kDuplicate = 7,
  kDraining = 8,
  kTimeout = 9,
  kLimits = 10,
};

// Lower case, for logs. Thread: any.
[[nodiscard]] std::string_view name(RefusalCode code);

struct Refusal {
  RefusalCode code = RefusalCode::kMalformed;
  std::string text{};
};

struct Hello {
  std::uint8_t version_min = kWireVersion;
  std::uint8_t version_max = kWireVersion;
  std::uint32_t features = 0;
  Instance instance{};
  WallTime time;
  Nonce nonce{};
  PeerLimits limits{};
  std::string name{};
  std::string peer{};  // whom the sender believes to speak to; may be empty

  friend bool operator==(const Hello&, const Hello&) = default;
};

// Names must not be longer than 255 bytes.
[[nodiscard]] std::string encode(const Hello& hello);
[[nodiscard]] std::string encode(HandshakeType type, const Proof& proof);
// The text is cut to 255 bytes.
[[nodiscard]] std::string encode(const Refusal& refusal);

// The type in front; 0 of nothing.
[[nodiscard]] std::uint8_t type_of(std::string_view message);

// Errors: kMalformed with what is wrong. A Hello may be longer than this version knows.
[[nodiscard]] Result<Hello> decode_hello(std::string_view message);
[[nodiscard]] Result<Proof> decode_proof(std::string_view message);
[[nodiscard]] Result<Refusal> decode_refusal(std::string_view message);

// HMAC-SHA-256 over both Hellos as they were sent. `type` is kProof or kWelcome. All zeros without
// a secret.
[[nodiscard]] Proof prove(HandshakeType type, std::string_view secret, std::string_view dialler,
                          std::string_view acceptor);
// In a time that does not depend on where they differ.
[[nodiscard]] bool is_same(const Proof& one, const Proof& other);

}  // namespace trunkline::grid
