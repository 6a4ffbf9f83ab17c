// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <strings.h>

namespace trunkline::net {

std::string_view HttpRequest::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key.size() == name.size() && ::strncasecmp(key.data(), name.data(), name.size()) == 0) {
      return value;
    }
  }
  return {};
}

}  // namespace trunkline::net
