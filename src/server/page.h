// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace trunkline::server {

// A file of web/, built into the binary.
struct PageFile {
  std::string_view path;  // as requested: "/", "/app.js" …
  std::string_view content_type;
  std::string_view content;
};

// nullptr when there is no such file.
[[nodiscard]] const PageFile* find_page_file(std::string_view path);

}  // namespace trunkline::server
