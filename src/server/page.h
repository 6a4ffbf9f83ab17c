// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>
#include <trunkline/server.h>

#include <string_view>
#include <vector>

namespace trunkline::server {

// A file of web/, built into the binary.
struct PageFile {
  std::string_view path;  // as requested: "/", "/app.js" …
  std::string_view content_type;
  std::string_view content;
};

// nullptr when there is no such file.
[[nodiscard]] const PageFile* find_page_file(std::string_view path);

// Whether each page of a program can be reached. Errors: kInvalidArgument with path and reason.
[[nodiscard]] Result<void> check_pages(const std::vector<Page>& pages);

}  // namespace trunkline::server
