// SPDX-License-Identifier: Apache-2.0
#include "server/page.h"

#include <fmt/format.h>

#include <set>

namespace trunkline::server {

namespace {

// What the server answers by itself, whatever pages there are.
bool is_reserved_path(std::string_view path) {
  return path == "/api" || path.starts_with("/api/") || path == "/health" || path == "/metrics" ||
         path == "/connection/websocket";
}

}  // namespace

Result<void> check_pages(const std::vector<Page>& pages) {
  std::set<std::string_view> seen;
  for (const Page& page : pages) {
    const auto refuse_for = [&](std::string_view reason) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("page '{}': {}", page.path, reason));
    };
    if (!page.path.starts_with('/') || page.path.find_first_of("?#") != std::string::npos) {
      return refuse_for("a path begins with '/' and has neither '?' nor '#'");
    }
    if (is_reserved_path(page.path)) {
      return refuse_for("this path is the server's");
    }
    if (!seen.insert(page.path).second) {
      return refuse_for("is there twice");
    }
  }
  return {};
}

}  // namespace trunkline::server
