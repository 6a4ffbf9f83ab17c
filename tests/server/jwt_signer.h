// SPDX-License-Identifier: Apache-2.0
//
// The signing side of tokens, written apart from the verifier: what the tests of tokens share.
#pragma once

#include "server/jwt.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <memory>
#include <vector>

namespace trunkline::server {

inline constexpr WallTime kNow{std::chrono::seconds(1'700'000'000)};

inline std::string base64url(std::string_view bytes) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  unsigned bits = 0;
  int count = 0;
  for (const char byte : bytes) {
    bits = (bits << 8U) | static_cast<unsigned char>(byte);
    for (count += 8; count >= 6; count -= 6) {
      text += kLetters[(bits >> static_cast<unsigned>(count - 6)) & 63U];
    }
  }
  if (count > 0) {
    text += kLetters[(bits << static_cast<unsigned>(6 - count)) & 63U];
  }
  return text;
}

using Key = std::shared_ptr<EVP_PKEY>;

inline Key owned(EVP_PKEY* key) {
  return {key, EVP_PKEY_free};
}

inline std::string pem(const Key& key) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_PUBKEY(out.get(), key.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

inline const EVP_MD* digest_of(std::string_view algorithm) {
  return algorithm.ends_with("256")   ? EVP_sha256()
         : algorithm.ends_with("384") ? EVP_sha384()
         : algorithm.ends_with("512") ? EVP_sha512()
                                      : nullptr;
}

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

inline std::string hmac(std::string_view algorithm, std::string_view secret,
                        std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  HMAC(digest_of(algorithm), secret.data(), static_cast<int>(secret.size()), bytes_of(text),
       text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

inline std::string sign(std::string_view algorithm, const Key& key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  std::string signature(1024, '\0');
  std::size_t size = signature.size();
  EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, digest_of(algorithm), nullptr, key.get()),
            1);
  EXPECT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                           bytes_of(text), text.size()),
            1);
  signature.resize(size);
  return signature;
}

// From OpenSSL's DER to the two numbers side by side, each of `half` bytes.
inline std::string side_by_side(std::string_view der, int half) {
  const unsigned char* at = bytes_of(der);
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> numbers(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
  std::string out(static_cast<std::size_t>(2 * half), '\0');
  auto* const data = reinterpret_cast<unsigned char*>(out.data());
  EXPECT_EQ(BN_bn2binpad(ECDSA_SIG_get0_r(numbers.get()), data, half), half);
  EXPECT_EQ(BN_bn2binpad(ECDSA_SIG_get0_s(numbers.get()), data + half, half), half);
  return out;
}

inline std::string unsigned_token(std::string_view header, std::string_view claims) {
  return base64url(header) + "." + base64url(claims);
}

inline std::string header_of(std::string_view algorithm) {
  return fmt::format(R"({{"alg":"{}","typ":"JWT"}})", algorithm);
}

// Keys of every kind, made once: an RSA pair takes a while.
struct Keys {
  Key rsa = owned(EVP_RSA_gen(2048));
  Key p256 = owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  Key p384 = owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
  Key p521 = owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521"));
  Key koblitz = owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"));
  Key ed25519 = owned(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));

  [[nodiscard]] const Key& fitting(std::string_view algorithm) const {
    return algorithm == "ES256"   ? p256
           : algorithm == "ES384" ? p384
           : algorithm == "ES512" ? p521
           : algorithm == "EdDSA" ? ed25519
                                  : rsa;
  }
};

inline const Keys& keys() {
  static const Keys kKeys;
  return kKeys;
}

inline std::string token_of(std::string_view algorithm, const Key& key, std::string_view claims) {
  const std::string text = unsigned_token(header_of(algorithm), claims);
  std::string signature =
      algorithm.starts_with("HS") ? hmac(algorithm, "secret", text) : sign(algorithm, key, text);
  if (algorithm.starts_with("ES")) {
    signature = side_by_side(signature, (EVP_PKEY_get_bits(key.get()) + 7) / 8);
  }
  return text + "." + base64url(signature);
}

inline std::string token_of(std::string_view algorithm, std::string_view claims) {
  return token_of(algorithm, keys().fitting(algorithm), claims);
}

inline TokenConfig config_for(std::string_view algorithm) {
  TokenConfig config;
  if (algorithm.starts_with("HS")) {
    config.hmac_secret_key = "secret";
  } else if (algorithm.starts_with("RS")) {
    config.rsa_public_key = pem(keys().rsa);
  } else if (algorithm.starts_with("ES")) {
    config.ecdsa_public_key = pem(keys().fitting(algorithm));
  } else {
    config.eddsa_public_key = pem(keys().ed25519);
  }
  return config;
}

inline Jwt jwt_for(std::string_view algorithm) {
  return {config_for(algorithm), config_for(algorithm)};
}

// What the connection token comes to: "ok", or the error's name.
inline std::string verdict(const Jwt& jwt, std::string_view token, WallTime now = kNow) {
  const auto claims = jwt.verify_connection(token, now);
  return claims.has_value() ? "ok" : std::string(name(claims.error().code));
}

inline std::string reason(const Jwt& jwt, std::string_view token) {
  const auto claims = jwt.verify_connection(token, kNow);
  return claims.has_value() ? "ok" : claims.error().context;
}

inline std::string hs(std::string_view claims) {
  return token_of("HS256", claims);
}

}  // namespace trunkline::server
