// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/api_call.h"
#include "server/json_view.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// The parameters of an API call. Reading one of the wrong type notes an error; the caller reads all
// that it needs and then asks error() once.
class ApiParams {
 public:
  explicit ApiParams(std::string_view text);

  [[nodiscard]] std::string text(std::string_view name);
  [[nodiscard]] bool flag(std::string_view name);
  [[nodiscard]] std::int64_t integer(std::string_view name);
  [[nodiscard]] std::vector<std::string> texts(std::string_view name);
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> text_map(std::string_view name);
  // A value as it stands; nullptr when absent.
  [[nodiscard]] const std::string* raw(std::string_view name);
  // Notes an error when the value is empty.
  void require(std::string_view name, bool present);

  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }

 private:
  void refuse(std::string_view name, std::string_view wanted);

  JsonMembers members_;
  std::optional<ApiError> error_;
};

}  // namespace trunkline::server
