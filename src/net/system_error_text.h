// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <system_error>

namespace trunkline::net {

// What an errno means, in words. Thread: any.
[[nodiscard]] inline std::string system_error_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace trunkline::net
