// SPDX-License-Identifier: Apache-2.0
#include "grid/hello.h"

#include "core/assert.h"
#include "grid/bytes.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

namespace trunkline::grid {

namespace {

constexpr std::string_view kMagic = "TLGR";
constexpr std::size_t kTextBytesMax = 255;

using namespace std::string_view_literals;

// With their zero byte.
constexpr std::string_view kDiallerLabel = "trunkline grid dialler\0"sv;
constexpr std::string_view kAcceptorLabel = "trunkline grid acceptor\0"sv;

void append_short_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<std::uint8_t>(text.size()));
  out += text;
}

template <std::size_t N>
void append_array(std::string& out, const std::array<std::uint8_t, N>& bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), N);
}

template <std::size_t N>
std::array<std::uint8_t, N> take_array(ByteTaker& bytes) {
  std::array<std::uint8_t, N> array{};
  if (const std::string_view taken = bytes.text(N); taken.size() == N) {
    taken.copy(reinterpret_cast<char*>(array.data()), N);
  }
  return array;
}

std::unexpected<Error> malformed(std::string_view what, std::string_view message) {
  return fail(ErrorCode::kMalformed, fmt::format("not a {}: {} bytes", what, message.size()));
}

}  // namespace

std::string_view name(RefusalCode code) {
  switch (code) {
    case RefusalCode::kMalformed:
      return "malformed";
    case RefusalCode::kVersion:
      return "version";
    case RefusalCode::kName:
      return "name";
    case RefusalCode::kSecret:
      return "secret";
    case RefusalCode::kSkew:
      return "skew";
    case RefusalCode::kInUse:
      return "in_use";
    case RefusalCode::kDuplicate:
      return "duplicate";
    case RefusalCode::kDraining:
      return "draining";
    case RefusalCode::kTimeout:
      return "timeout";
    case RefusalCode::kLimits:
      return "limits";
  }
  return "other";
}

std::string encode(const Hello& hello) {
  TRUNKLINE_ASSERT(hello.name.size() <= kTextBytesMax && hello.peer.size() <= kTextBytesMax);
  std::string out;
  append_number(out, static_cast<std::uint8_t>(HandshakeType::kHello));
  out += kMagic;
  append_number(out, hello.version_min);
  append_number(out, hello.version_max);
  append_number(out, hello.features);
  append_array(out, hello.instance);
  append_number(out, static_cast<std::uint64_t>(hello.time.time_since_epoch().count()));
  append_array(out, hello.nonce);
  append_number(out, hello.limits.frame_bytes_max);
  append_number(out, hello.limits.message_bytes_max);
  append_number(out, hello.limits.calls_max);
  append_number(out, hello.limits.stream_window);
  append_number(out, hello.limits.connection_window);
  append_short_text(out, hello.name);
  append_short_text(out, hello.peer);
  return out;
}

std::string encode(HandshakeType type, const Proof& proof) {
  std::string out;
  append_number(out, static_cast<std::uint8_t>(type));
  append_array(out, proof);
  return out;
}

std::string encode(const Refusal& refusal) {
  std::string out;
  append_number(out, static_cast<std::uint8_t>(HandshakeType::kRefused));
  append_number(out, static_cast<std::uint8_t>(refusal.code));
  append_short_text(out, std::string_view(refusal.text).substr(0, kTextBytesMax));
  return out;
}

std::uint8_t type_of(std::string_view message) {
  return ByteTaker(message).number<std::uint8_t>();
}

Result<Hello> decode_hello(std::string_view message) {
  ByteTaker bytes(message);
  Hello hello;
  const auto type = bytes.number<std::uint8_t>();
  const std::string_view magic = bytes.text(kMagic.size());
  hello.version_min = bytes.number<std::uint8_t>();
  hello.version_max = bytes.number<std::uint8_t>();
  hello.features = bytes.number<std::uint32_t>();
  hello.instance = take_array<16>(bytes);
  hello.time =
      WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(bytes.number<std::uint64_t>())));
  hello.nonce = take_array<32>(bytes);
  hello.limits.frame_bytes_max = bytes.number<std::uint32_t>();
  hello.limits.message_bytes_max = bytes.number<std::uint32_t>();
  hello.limits.calls_max = bytes.number<std::uint32_t>();
  hello.limits.stream_window = bytes.number<std::uint32_t>();
  hello.limits.connection_window = bytes.number<std::uint64_t>();
  hello.name = bytes.text(bytes.number<std::uint8_t>());
  hello.peer = bytes.text(bytes.number<std::uint8_t>());
  if (bytes.is_short() || type != static_cast<std::uint8_t>(HandshakeType::kHello) ||
      magic != kMagic || hello.name.empty() || hello.instance == Instance{}) {
    return malformed("Hello", message);
  }
  return hello;
}

Result<Proof> decode_proof(std::string_view message) {
  ByteTaker bytes(message);
  bytes.number<std::uint8_t>();
  const auto proof = take_array<32>(bytes);
  if (bytes.is_short() || !bytes.rest().empty()) {
    return malformed("proof", message);
  }
  return proof;
}

Result<Refusal> decode_refusal(std::string_view message) {
  ByteTaker bytes(message);
  bytes.number<std::uint8_t>();
  Refusal refusal;
  refusal.code = static_cast<RefusalCode>(bytes.number<std::uint8_t>());
  refusal.text = bytes.text(bytes.number<std::uint8_t>());
  if (bytes.is_short()) {
    return malformed("Refused", message);
  }
  return refusal;
}

Proof prove(HandshakeType type, std::string_view secret, std::string_view dialler,
            std::string_view acceptor) {
  Proof proof{};
  if (secret.empty()) {
    return proof;
  }
  std::string said(type == HandshakeType::kProof ? kDiallerLabel : kAcceptorLabel);
  for (const std::string_view hello : {dialler, acceptor}) {
    append_number(said, static_cast<std::uint32_t>(hello.size()));
    said += hello;
  }
  unsigned size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(said.data()), said.size(), proof.data(), &size);
  TRUNKLINE_ASSERT(made != nullptr && size == proof.size());
  return proof;
}

bool is_same(const Proof& one, const Proof& other) {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace trunkline::grid
