// SPDX-License-Identifier: Apache-2.0
#include "server/jwt.h"

#include "server/base64.h"
#include "server/json_view.h"
#include "server/jwt_channels.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

namespace trunkline::server {

namespace {

using nlohmann::json;

std::unexpected<Error> invalid(std::string why) {
  return fail(ErrorCode::kTokenInvalid, std::move(why));
}

std::string encode_base64url(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  text.erase(text.find_last_not_of('=') + 1);
  for (char& letter : text) {
    letter = letter == '+' ? '-' : letter == '/' ? '_' : letter;
  }
  return text;
}

// RFC 4648, section 5, without padding. One spelling only: where the last letter's spare bits are
// free, a token that was refused (or revoked) by its text could come back under another one.
std::optional<std::string> decode_base64url(std::string_view text) {
  std::string standard(text);
  for (char& letter : standard) {
    letter = letter == '-' ? '+' : letter == '_' ? '/' : letter;
  }
  standard.append((4 - standard.size() % 4) % 4, '=');
  std::optional<std::string> bytes = decode_base64(standard);
  return bytes.has_value() && encode_base64url(*bytes) == text ? bytes : std::nullopt;
}

std::string hmac(const EVP_MD* digest, std::string_view secret, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  HMAC(digest, secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// Says no to an encrypted PEM; OpenSSL would ask for a pass phrase at the terminal.
int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return -1;
}

// The key of a PEM if it is of the type ("RSA", "EC", "ED25519"), else nothing. A key of another
// type would verify its own kind of signature under the name of this one.
Key read_key(const std::string& pem, const char* type) {
  if (pem.empty()) {
    return {nullptr, EVP_PKEY_free};
  }
  const std::unique_ptr<BIO, decltype(&BIO_free)> source(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  Key key(PEM_read_bio_PUBKEY(source.get(), nullptr, no_pass_phrase, nullptr), EVP_PKEY_free);
  if (key && EVP_PKEY_is_a(key.get(), type) != 1) {
    key.reset();
  }
  // What a failure leaves in the thread's queue would be taken for an error of a TLS connection.
  ERR_clear_error();
  return key;
}

enum class Family : std::uint8_t { kHmac, kRsa, kEcdsa, kEdDsa };

struct Algorithm {
  std::string_view name;
  Family family;
  const EVP_MD* (*digest)();    // nullptr: the signature's own
  const char* curve = "";       // RFC 7518, section 3.4: each ECDSA algorithm has one
  std::size_t number_size = 0;  // bytes of each of the two numbers of an ECDSA signature
};

constexpr Algorithm kAlgorithms[] = {
    {"HS256", Family::kHmac, EVP_sha256},
    {"HS384", Family::kHmac, EVP_sha384},
    {"HS512", Family::kHmac, EVP_sha512},
    {"RS256", Family::kRsa, EVP_sha256},
    {"RS384", Family::kRsa, EVP_sha384},
    {"RS512", Family::kRsa, EVP_sha512},
    {"ES256", Family::kEcdsa, EVP_sha256, "prime256v1", 32},
    {"ES384", Family::kEcdsa, EVP_sha384, "secp384r1", 48},
    {"ES512", Family::kEcdsa, EVP_sha512, "secp521r1", 66},
    {"EdDSA", Family::kEdDsa, nullptr},
};

const Algorithm* find_algorithm(std::string_view name) {
  const auto* const found = std::ranges::find(kAlgorithms, name, &Algorithm::name);
  return found == std::end(kAlgorithms) ? nullptr : found;
}

bool is_on_curve(EVP_PKEY* key, std::string_view curve) {
  std::array<char, 64> name{};
  std::size_t size = 0;
  return EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) == 1 &&
         std::string_view(name.data(), size) == curve;
}

// RFC 7518, section 3.4: the two numbers of an ECDSA signature side by side; OpenSSL wants DER.
std::string ecdsa_der(std::string_view signature) {
  const std::size_t half = signature.size() / 2;
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> made(ECDSA_SIG_new(), ECDSA_SIG_free);
  ECDSA_SIG_set0(made.get(), BN_bin2bn(bytes, static_cast<int>(half), nullptr),
                 BN_bin2bn(bytes + half, static_cast<int>(half), nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(made.get(), &der);
  std::string result(reinterpret_cast<const char*>(der),
                     static_cast<std::size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return result;
}

bool verify_with_key(EVP_PKEY* key, const EVP_MD* digest, std::string_view signature,
                     std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  const bool good =
      EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) == 1;
  ERR_clear_error();
  return good;
}

// The claims as values, and as raw text for what is handed on as it stands.
struct Claims {
  json values;
  JsonMembers raw;
};

// A claim that is there twice could mean one thing to us and another to who made the token.
Result<Claims> parse_claims(std::string_view payload) {
  // First this, which bounds the depth: a json value of any depth may not be copied or printed.
  Result<JsonMembers> raw = json_members(payload);
  json values = json::parse(payload, nullptr, false);
  if (!raw.has_value() || !values.is_object()) {
    return invalid("the token's claims are not a JSON object");
  }
  if (raw->size() != values.size()) {
    return invalid("a claim of the token is there twice");
  }
  return Claims{std::move(values), std::move(*raw)};
}

// Absent or null: empty. Another type is never taken for absent: without `sub` one is anonymous,
// without `client` a token serves any client.
Result<std::string> text_claim(const json& claims, const std::string& name) {
  const auto found = claims.find(name);
  if (found == claims.end() || found->is_null()) {
    return std::string{};
  }
  if (!found->is_string()) {
    return invalid(fmt::format("claim '{}' is not a string", name));
  }
  return found->get<std::string>();
}

// Seconds since 1970, perhaps with a fraction. Absent or null: nothing.
Result<std::optional<WallTime>> time_claim(const json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end() || found->is_null()) {
    return std::nullopt;
  }
  if (!found->is_number()) {
    return invalid(fmt::format("claim '{}' is not a number", name));
  }
  constexpr double kFar = 9.0e12;  // seconds; milliseconds still fit
  const double seconds = std::clamp(found->get<double>(), -kFar, kFar);
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

// `info` as it stands, or what `b64info` holds.
Result<std::string> info_claim(const Claims& claims) {
  const std::string* const info = find_member(claims.raw, "info");
  if (info != nullptr && *info != "null") {
    return *info;
  }
  const Result<std::string> encoded = text_claim(claims.values, "b64info");
  if (!encoded.has_value() || encoded->empty()) {
    return encoded;
  }
  const auto bytes = decode_base64(*encoded);
  auto checked = bytes.has_value() ? checked_json(*bytes) : std::nullopt;
  if (!checked.has_value()) {
    return invalid("claim 'b64info' is not JSON in base64");
  }
  return std::move(*checked);
}

// When what the token grants ends: `expire_at` where it is given (0: never), else `exp`.
Result<std::optional<WallTime>> expiry(const json& claims) {
  const Result<std::optional<WallTime>> at = time_claim(claims, "expire_at");
  if (!at.has_value()) {
    return at;
  }
  if (!at->has_value()) {
    return time_claim(claims, "exp");
  }
  return *at == WallTime{} ? std::nullopt : *at;
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

// For the log: what a stranger wrote does not go there as it is.
std::string shown(std::string_view algorithm) {
  const bool harmless = algorithm.size() <= 16 && std::ranges::all_of(algorithm, [](char letter) {
                          return letter > ' ' && letter < '\x7f';
                        });
  return harmless ? fmt::format("algorithm '{}'", algorithm) : "the algorithm";
}

}  // namespace

class Jwt::Verifier {
 public:
  // `section` is what messages call the configuration by.
  Verifier(const TokenConfig& config, std::string section)
      : config_(config),
        section_(std::move(section)),
        rsa_(read_key(config.rsa_public_key, "RSA")),
        ecdsa_(read_key(config.ecdsa_public_key, "EC")),
        eddsa_(read_key(config.eddsa_public_key, "ED25519")) {}

  [[nodiscard]] Result<void> check_keys() const {
    if (!config_.rsa_public_key.empty() && !rsa_) {
      return refuse_key("rsa_public_key", "RSA");
    }
    if (!config_.ecdsa_public_key.empty() && !ecdsa_) {
      return refuse_key("ecdsa_public_key", "elliptic curve");
    }
    if (!config_.eddsa_public_key.empty() && !eddsa_) {
      return refuse_key("eddsa_public_key", "Ed25519");
    }
    return {};
  }

  // The claims of a token whose signature and times are right.
  [[nodiscard]] Result<Claims> verify(std::string_view token, WallTime now) const {
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
    if (const auto good = check_signature(*header, token.substr(0, second), *signature);
        !good.has_value()) {
      return std::unexpected(good.error());
    }
    Result<Claims> claims = parse_claims(*payload);
    if (claims.has_value()) {
      if (const auto good = check_claims(claims->values, now); !good.has_value()) {
        return std::unexpected(good.error());
      }
    }
    return claims;
  }

  [[nodiscard]] Result<std::string> user(const Claims& claims) const {
    return text_claim(claims.values, config_.user_id_claim);
  }

 private:
  [[nodiscard]] std::unexpected<Error> refuse_key(const char* option, const char* type) const {
    return fail(ErrorCode::kConfig,
                fmt::format("{}.{}: not an {} public key in PEM", section_, option, type));
  }

  [[nodiscard]] std::unexpected<Error> missing(const Algorithm& algorithm,
                                               const char* option) const {
    return invalid(fmt::format("{} tokens need {}.{}", algorithm.name, section_, option));
  }

  // The algorithm comes from the token, but only its own kind of key is ever used with it.
  [[nodiscard]] Result<void> check_signature(const std::string& header, std::string_view text,
                                             const std::string& signature) const {
    const json head = json::parse(header, nullptr, false);
    if (!head.is_object()) {
      return invalid("the token's header is not a JSON object");
    }
    // RFC 7515, section 4.1.11: extensions that must be understood. We know none.
    if (head.contains("crit")) {
      return invalid("the token's header has 'crit'");
    }
    const Result<std::string> name = text_claim(head, "alg");
    if (!name.has_value()) {
      return std::unexpected(name.error());
    }
    const Algorithm* const algorithm = find_algorithm(*name);
    if (algorithm == nullptr) {
      return invalid(shown(*name) + " is not supported");
    }
    switch (algorithm->family) {
      case Family::kHmac:
        return check_hmac(*algorithm, text, signature);
      case Family::kEcdsa:
        return check_ecdsa(*algorithm, text, signature);
      case Family::kRsa:
        return rsa_ ? signed_by(rsa_, *algorithm, text, signature)
                    : missing(*algorithm, "rsa_public_key");
      case Family::kEdDsa:
        return eddsa_ ? signed_by(eddsa_, *algorithm, text, signature)
                      : missing(*algorithm, "eddsa_public_key");
    }
    return invalid(shown(*name) + " is not supported");
  }

  [[nodiscard]] Result<void> check_hmac(const Algorithm& algorithm, std::string_view text,
                                        const std::string& signature) const {
    if (config_.hmac_secret_key.empty()) {
      return missing(algorithm, "hmac_secret_key");
    }
    const std::string expected = hmac(algorithm.digest(), config_.hmac_secret_key, text);
    // Takes the same time wherever the first difference is.
    const bool good = expected.size() == signature.size() &&
                      CRYPTO_memcmp(expected.data(), signature.data(), signature.size()) == 0;
    return good ? Result<void>{} : invalid("the signature is wrong");
  }

  [[nodiscard]] Result<void> check_ecdsa(const Algorithm& algorithm, std::string_view text,
                                         const std::string& signature) const {
    if (!ecdsa_) {
      return missing(algorithm, "ecdsa_public_key");
    }
    if (!is_on_curve(ecdsa_.get(), algorithm.curve)) {
      return invalid(fmt::format("{} tokens need a key on curve {} in {}.ecdsa_public_key",
                                 algorithm.name, algorithm.curve, section_));
    }
    if (signature.size() != 2 * algorithm.number_size) {
      return invalid("the signature has the wrong length");
    }
    return signed_by(ecdsa_, algorithm, text, ecdsa_der(signature));
  }

  [[nodiscard]] static Result<void> signed_by(const Key& key, const Algorithm& algorithm,
                                              std::string_view text, const std::string& signature) {
    const EVP_MD* const digest = algorithm.digest == nullptr ? nullptr : algorithm.digest();
    return verify_with_key(key.get(), digest, signature, text) ? Result<void>{}
                                                               : invalid("the signature is wrong");
  }

  [[nodiscard]] Result<void> check_claims(const json& claims, WallTime now) const {
    const auto expires = time_claim(claims, "exp");
    const auto not_before = time_claim(claims, "nbf");
    const Result<std::string> issuer = text_claim(claims, "iss");
    if (!expires.has_value()) {
      return std::unexpected(expires.error());
    }
    if (!not_before.has_value()) {
      return std::unexpected(not_before.error());
    }
    if (not_before->value_or(now) > now) {
      return invalid("the token is not valid yet (nbf)");
    }
    if (!config_.audience.empty() && !audience_matches(claims, config_.audience)) {
      return invalid("the token is for another audience (aud)");
    }
    if (!config_.issuer.empty() && (!issuer.has_value() || *issuer != config_.issuer)) {
      return invalid("the token is by another issuer (iss)");
    }
    // Last: a client that is told of expiry fetches a new token, which would not help against the
    // errors above.
    if (expires->value_or(WallTime::max()) <= now) {
      return fail(ErrorCode::kTokenExpired, "the token has expired");
    }
    return {};
  }

  const TokenConfig config_;
  const std::string section_;
  const Key rsa_;
  const Key ecdsa_;
  const Key eddsa_;
};

Jwt::Jwt(const TokenConfig& connection, const TokenConfig& subscription)
    : connection_(std::make_unique<Verifier>(connection, "client.token")),
      subscription_(std::make_unique<Verifier>(subscription, subscription == connection
                                                                 ? "client.token"
                                                                 : "client.subscription_token")) {}

Jwt::~Jwt() = default;

Result<void> Jwt::check_keys() const {
  const Result<void> good = connection_->check_keys();
  return good.has_value() ? subscription_->check_keys() : good;
}

Result<session::ConnectionClaims> Jwt::verify_connection(std::string_view token,
                                                         WallTime now) const {
  const Result<Claims> claims = connection_->verify(token, now);
  if (!claims.has_value()) {
    return std::unexpected(claims.error());
  }
  if (claims->values.contains("channel")) {
    return invalid("a subscription token was given as a connection token");
  }
  Result<std::string> user = connection_->user(*claims);
  Result<std::string> info = info_claim(*claims);
  const Result<std::optional<WallTime>> expire_at = expiry(claims->values);
  for (const Result<std::string>* text : {&user, &info}) {
    if (!text->has_value()) {
      return std::unexpected(text->error());
    }
  }
  Result<std::vector<session::ServerChannel>> channels = channel_claims(claims->raw);
  const std::string* const meta = find_member(claims->raw, "meta");
  if (!expire_at.has_value() || !channels.has_value()) {
    return std::unexpected(expire_at.has_value() ? channels.error() : expire_at.error());
  }
  return session::ConnectionClaims{.user = std::move(*user),
                                   .info = std::move(*info),
                                   .expire_at = *expire_at,
                                   .channels = std::move(*channels),
                                   .meta = meta == nullptr ? std::string{} : *meta};
}

Result<session::SubscriptionClaims> Jwt::verify_subscription(std::string_view token,
                                                             WallTime now) const {
  const Result<Claims> claims = subscription_->verify(token, now);
  if (!claims.has_value()) {
    return std::unexpected(claims.error());
  }
  Result<std::string> user = subscription_->user(*claims);
  Result<std::string> channel = text_claim(claims->values, "channel");
  Result<std::string> client = text_claim(claims->values, "client");
  Result<std::string> info = info_claim(*claims);
  const Result<std::optional<WallTime>> expire_at = expiry(claims->values);
  for (const Result<std::string>* text : {&user, &channel, &client, &info}) {
    if (!text->has_value()) {
      return std::unexpected(text->error());
    }
  }
  if (!expire_at.has_value()) {
    return std::unexpected(expire_at.error());
  }
  if (channel->empty()) {
    return invalid("the subscription token has no channel");
  }
  return session::SubscriptionClaims{.user = std::move(*user),
                                     .channel = std::move(*channel),
                                     .client = std::move(*client),
                                     .info = std::move(*info),
                                     .expire_at = *expire_at};
}

std::string make_hmac_token(std::string_view secret, std::string_view claims) {
  const std::string text =
      encode_base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + encode_base64url(claims);
  return text + "." + encode_base64url(hmac(EVP_sha256(), secret, text));
}

}  // namespace trunkline::server
