// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Tokens (RFC 7519) with OpenSSL's signatures. Debian's libjwt lacks EdDSA and leaves the
// choice of algorithm to the token; cpp-jwt throws on bad input. What is left of a library's work
// is the claims, which are the protocol's own.
#pragma once

#include "server/config.h"
#include "session/authenticator.h"

#include <memory>
#include <string>
#include <string_view>

namespace trunkline::server {

// HS256/384/512 with the HMAC secret, RS256/384/512 with the RSA key, ES256/384/512 with the ECDSA
// key; a token's algorithm must belong to a key that is configured. Immutable after construction.
class Jwt final : public session::Authenticator {
 public:
  Jwt(const TokenConfig& connection, const TokenConfig& subscription);
  ~Jwt() override;

  // kConfig when a configured key cannot be read.
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
