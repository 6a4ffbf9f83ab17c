// SPDX-License-Identifier: Apache-2.0
#include "server/job_ids.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstddef>
#include <span>
#include <stdexcept>

namespace trunkline::server {

namespace {

constexpr std::size_t kBytes = 16;  // of the nonce, and of the code
constexpr std::size_t kDigits = 2 * kBytes;

void fill_random(std::span<unsigned char> bytes) {
  // OpenSSL has no such failure on a system that gives entropy at all; an id that can be guessed
  // would be worse than the end.
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw std::runtime_error("the system gives no random bytes");
  }
}

std::string hex(std::span<const unsigned char> bytes) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kHex[byte >> 4U];
    text += kHex[byte & 15U];
  }
  return text;
}

}  // namespace

JobIds::JobIds() {
  fill_random(key_);
}

std::string JobIds::code(std::string_view nonce, std::string_view user) const {
  const std::string text = std::string(nonce) + std::string(user);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  return hex(std::span(digest).first(kBytes));
}

std::string JobIds::make(std::string_view user) const {
  std::array<unsigned char, kBytes> bytes{};
  fill_random(bytes);
  const std::string nonce = hex(bytes);
  return nonce + code(nonce, user);
}

bool JobIds::is_of(std::string_view id, std::string_view user) const {
  if (id.size() != 2 * kDigits) {
    return false;
  }
  const std::string expected = code(id.substr(0, kDigits), user);
  return CRYPTO_memcmp(expected.data(), id.data() + kDigits, kDigits) == 0;
}

}  // namespace trunkline::server
