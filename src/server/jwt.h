// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Tokens (RFC 7519) with OpenSSL's signatures. Debian 12's libjwt (1.10) and cpp-jwt (1.4)
// both lack EdDSA, and cpp-jwt reads the clock itself and throws on bad input.
#pragma once

#include "server/config.h"
#include "session/authenticator.h"

#include <memory>
#include <string>
#include <string_view>

namespace trunkline::server {

// HS256/384/512 with the HMAC secret, RS256/384/512 with the RSA key, ES256/384/512 with the ECDSA
// key on the algorithm's curve, EdDSA with the Ed25519 key; a token's algorithm must belong to a
// key that is configured. A claim of the wrong type, or one that is there twice, makes the token
// invalid; it is never taken for absent. Immutable after construction. Thread: any.
class Jwt final : public session::Authenticator {
 public:
  Jwt(const TokenConfig& connection, const TokenConfig& subscription);
  ~Jwt() override;

  // kConfig, with the option, when a configured key cannot be read or is of another kind. Such a
  // key verifies nothing.
  [[nodiscard]] Result<void> check_keys() const;

  [[nodiscard]] Result<session::ConnectionClaims> verify_connection(std::string_view token,
                                                                    WallTime now) const override;
  [[nodiscard]] Result<session::SubscriptionClaims> verify_subscription(
      std::string_view token, WallTime now) const override;

 private:
  class Verifier;
  std::unique_ptr<Verifier> connection_;
  std::unique_ptr<Verifier> subscription_;
};

// A token with algorithm HS256 over the claims (a JSON object's text).
[[nodiscard]] std::string make_hmac_token(std::string_view secret, std::string_view claims);

}  // namespace trunkline::server
