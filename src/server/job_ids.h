// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace trunkline::server {

// Names of jobs that cannot be guessed and prove whose they are, so that any shard can say at once
// who may watch one: random bytes, and an authentication code (HMAC-SHA-256, RFC 2104, its first
// half) of them and the user. The key is of this process: no job outlives it.
class JobIds {
 public:
  JobIds();

  [[nodiscard]] std::string make(std::string_view user) const;
  // Whether make() gave this for the user. An anonymous user owns every anonymous one it knows.
  [[nodiscard]] bool is_of(std::string_view id, std::string_view user) const;

 private:
  [[nodiscard]] std::string code(std::string_view nonce, std::string_view user) const;

  std::array<unsigned char, 32> key_{};
};

}  // namespace trunkline::server
