// SPDX-License-Identifier: Apache-2.0
#include "server/jwt.h"

#include "server/base64.h"
#include "server/json_view.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <array>
#include <optional>
#include <utility>

namespace trunkline::server {

namespace {

using nlohmann::json;

std::unexpected<Error> invalid(std::string why) {
  return fail(ErrorCode::kTokenInvalid, std::move(why));
}

// RFC 4648, section 5, without padding.
std::optional<std::string> decode_base64url(std::string_view text) {
  std::string standard(text);
  for (char& letter : standard) {
    letter = letter == '-' ? '+' : letter == '_' ? '/' : letter == '+' || letter == '/' ? '!' : letter;
  }
  standard.append((4 - standard.size() % 4) % 4, '=');
  return decode_base64(standard);
}

std::string encode_base64url(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(text.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  text.erase(text.find_last_not_of('=') + 1);
  for (char& letter : text) {
    letter = letter == '+' ? '-' : letter == '/' ? '_' : letter;
  }
  return text;
}

std::string hmac(const EVP_MD* digest, std::string_view secret, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  HMAC(digest, secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key read_key(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> source(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_PUBKEY(source.get(), nullptr, nullptr, nullptr), EVP_PKEY_free};
}

const EVP_MD* digest_of(std::string_view algorithm) {
  const std::string_view bits = algorithm.substr(2);
  return bits == "256"   ? EVP_sha256()
         : bits == "384" ? EVP_sha384()
         : bits == "512" ? EVP_sha512()
                         : nullptr;
}

// RFC 7518, section 3.4: the two numbers of an ECDSA signature side by side; OpenSSL wants DER.
std::string ecdsa_der(std::string_view signature) {
  const std::size_t half = signature.size() / 2;
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> made(ECDSA_SIG_new(),
                                                                   ECDSA_SIG_free);
  ECDSA_SIG_set0(made.get(), BN_bin2bn(bytes, static_cast<int>(half), nullptr),
                 BN_bin2bn(bytes + half, static_cast<int>(half), nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(made.get(), &der);
  std::string result(reinterpret_cast<const char*>(der), static_cast<std::size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return result;
}

bool verify_with_key(EVP_PKEY* key, const EVP_MD* digest, std::string_view signature,
                     std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
}

std::string text_claim(const json& claims, const std::string& name) {
  const auto found = claims.find(name);
  return found != claims.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

// Seconds since 1970, perhaps with a fraction.
std::optional<WallTime> time_claim(const json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number()) {
    return std::nullopt;
  }
  const double seconds = std::min(std::max(found->get<double>(), 0.0), 9.0e12);
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

// `info` as it stands, or what `b64info` holds.
std::string info_claim(const json& claims) {
  if (const auto info = claims.find("info"); info != claims.end() && !info->is_null()) {
    return info->dump();
  }
  const std::string encoded = text_claim(claims, "b64info");
  const auto bytes = encoded.empty() ? std::nullopt : decode_base64(encoded);
  const auto checked = bytes.has_value() ? checked_json(*bytes) : std::nullopt;
  return checked.value_or("");
}

// When what the token grants ends: `expire_at` where it is given (0: never), else `exp`.
std::optional<WallTime> expiry(const json& claims) {
  if (const auto explicit_time = time_claim(claims, "expire_at")) {
    return *explicit_time == WallTime{} ? std::nullopt : explicit_time;
  }
  return time_claim(claims, "exp");
}

bool audience_matches(const json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) {
    return false;
  }
  if (found->is_array()) {
    return std::ranges::any_of(*found, [&](const json& one) { return one == audience; });
  }
  return *found == audience;
}

}  // namespace

class Jwt::Verifier {
 public:
  explicit Verifier(const TokenConfig& config)
      : config_(config),
        rsa_(read_key(config.rsa_public_key)),
        ecdsa_(read_key(config.ecdsa_public_key)) {}

  [[nodiscard]] Result<void> check_keys() const {
    if (!config_.rsa_public_key.empty() && !rsa_) {
      return fail(ErrorCode::kConfig, "client.token.rsa_public_key is not a PEM public key");
    }
    if (!config_.ecdsa_public_key.empty() && !ecdsa_) {
      return fail(ErrorCode::kConfig, "client.token.ecdsa_public_key is not a PEM public key");
    }
    return {};
  }

  // The claims of a token whose signature and times are right.
  [[nodiscard]] Result<json> verify(std::string_view token, WallTime now) const {
    const std::size_t first = token.find('.');
    const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
    if (second == std::string_view::npos) {
      return invalid("the token has not three parts");
    }
    const auto header = decode_base64url(token.substr(0, first));
    const auto payload = decode_base64url(token.substr(first + 1, second - first - 1));
    const auto signature = decode_base64url(token.substr(second + 1));
    if (!header.has_value() || !payload.has_value() || !signature.has_value()) {
      return invalid("a part of the token is not base64url");
    }
    const json head = json::parse(*header, nullptr, false);
    if (!head.is_object()) {
      return invalid("the token's header is not a JSON object");
    }
    const std::string algorithm = text_claim(head, "alg");
    if (const auto good = check_signature(algorithm, token.substr(0, second), *signature);
        !good.has_value()) {
      return std::unexpected(good.error());
    }
    json claims = json::parse(*payload, nullptr, false);
    if (!claims.is_object()) {
      return invalid("the token's claims are not a JSON object");
    }
    if (const auto good = check_claims(claims, now); !good.has_value()) {
      return std::unexpected(good.error());
    }
    return claims;
  }

  [[nodiscard]] std::string user(const json& claims) const {
    return text_claim(claims, config_.user_id_claim);
  }

 private:
  [[nodiscard]] Result<void> check_signature(const std::string& algorithm, std::string_view text,
                                             const std::string& signature) const {
    const EVP_MD* digest = algorithm.size() == 5 ? digest_of(algorithm) : nullptr;
    bool good = false;
    if (digest != nullptr && algorithm.starts_with("HS")) {
      if (config_.hmac_secret_key.empty()) {
        return invalid("HMAC tokens need client.token.hmac_secret_key");
      }
      const std::string expected = hmac(digest, config_.hmac_secret_key, text);
      good = expected.size() == signature.size() &&
             CRYPTO_memcmp(expected.data(), signature.data(), signature.size()) == 0;
    } else if (digest != nullptr && algorithm.starts_with("RS")) {
      if (!rsa_) {
        return invalid("RSA tokens need client.token.rsa_public_key");
      }
      good = verify_with_key(rsa_.get(), digest, signature, text);
    } else if (digest != nullptr && algorithm.starts_with("ES")) {
      if (!ecdsa_) {
        return invalid("ECDSA tokens need client.token.ecdsa_public_key");
      }
      good = verify_with_key(ecdsa_.get(), digest, ecdsa_der(signature), text);
    } else {
      return invalid(fmt::format("algorithm '{}' is not supported", algorithm));
    }
    return good ? Result<void>{} : invalid("the signature is wrong");
  }

  [[nodiscard]] Result<void> check_claims(const json& claims, WallTime now) const {
    const auto expires = time_claim(claims, "exp");
    if (expires.has_value() && *expires <= now) {
      return fail(ErrorCode::kTokenExpired, "the token has expired");
    }
    const auto not_before = time_claim(claims, "nbf");
    if (not_before.has_value() && *not_before > now) {
      return invalid("the token is not valid yet (nbf)");
    }
    if (!config_.audience.empty() && !audience_matches(claims, config_.audience)) {
      return invalid("the token is for another audience (aud)");
    }
    if (!config_.issuer.empty() && text_claim(claims, "iss") != config_.issuer) {
      return invalid("the token is by another issuer (iss)");
    }
    return {};
  }

  const TokenConfig config_;
  const Key rsa_;
  const Key ecdsa_;
};

Jwt::Jwt(const TokenConfig& connection, const TokenConfig& subscription)
    : connection_(std::make_unique<Verifier>(connection)),
      subscription_(std::make_unique<Verifier>(subscription)) {}

Jwt::~Jwt() = default;

Result<void> Jwt::check_keys() const {
  const Result<void> good = connection_->check_keys();
  return good.has_value() ? subscription_->check_keys() : good;
}

Result<session::ConnectionClaims> Jwt::verify_connection(std::string_view token,
                                                         WallTime now) const {
  const Result<json> claims = connection_->verify(token, now);
  if (!claims.has_value()) {
    return std::unexpected(claims.error());
  }
  if (claims->contains("channel")) {
    return invalid("a subscription token was given as a connection token");
  }
  return session::ConnectionClaims{.user = connection_->user(*claims),
                                   .info = info_claim(*claims),
                                   .expire_at = expiry(*claims)};
}

Result<session::SubscriptionClaims> Jwt::verify_subscription(std::string_view token,
                                                             WallTime now) const {
  const Result<json> claims = subscription_->verify(token, now);
  if (!claims.has_value()) {
    return std::unexpected(claims.error());
  }
  session::SubscriptionClaims result{.user = subscription_->user(*claims),
                                     .channel = text_claim(*claims, "channel"),
                                     .client = text_claim(*claims, "client"),
                                     .info = info_claim(*claims),
                                     .expire_at = expiry(*claims)};
  if (result.channel.empty()) {
    return invalid("the subscription token has no channel");
  }
  return result;
}

std::string make_hmac_token(std::string_view secret, std::string_view claims) {
  const std::string text =
      encode_base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + encode_base64url(claims);
  return text + "." + encode_base64url(hmac(EVP_sha256(), secret, text));
}

}  // namespace trunkline::server
