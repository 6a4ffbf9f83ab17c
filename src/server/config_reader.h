// SPDX-License-Identifier: Apache-2.0
//
// Reads options out of a tree and keeps account: what was wrong (the first one), and what nobody
// asked for (unknown options).
#pragma once

#include <trunkline/error.h>

#include "core/time.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// What all sections of one configuration share.
struct ConfigFindings {
  std::string source;
  std::map<std::string, std::string, std::less<>> origins;  // key: the environment variable
  std::optional<Error> error;
  std::vector<std::string> warnings;

  // Where the option comes from: the source, or the environment variable.
  [[nodiscard]] std::string origin(const std::string& key) const;
  // Notes the first error: "<origin>: <key>: <reason>".
  void refuse(const std::string& key, const std::string& reason);
};

// The limit of options that have none.
inline constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();

// One object of the tree. Each read takes its option off the list of unknown ones; what is left
// when the section ends becomes warnings.
class ConfigSection {
 public:
  ConfigSection(nlohmann::json value, std::string path, ConfigFindings& findings);
  ConfigSection(const ConfigSection&) = delete;
  ConfigSection& operator=(const ConfigSection&) = delete;
  ~ConfigSection();

  // Each leaves `out` as it is when the option is absent.
  void read(const char* name, bool& out);
  void read(const char* name, std::string& out);
  void read(const char* name, Duration& out);
  void read(const char* name, std::vector<std::string>& out);
  // An object of strings.
  void read(const char* name, std::vector<std::pair<std::string, std::string>>& out);

  // An integer from `min` to `max`.
  template <class Integer>
  void read(const char* name, Integer& out, std::int64_t min, std::int64_t max) {
    std::int64_t value = static_cast<std::int64_t>(out);
    if (read_integer(name, value, min, max)) {
      out = static_cast<Integer>(value);
    }
  }

  void section(const char* name, const std::function<void(ConfigSection&)>& reader);
  // A list of objects.
  void list(const char* name, const std::function<void(ConfigSection&)>& reader);

  [[nodiscard]] std::string key(std::string_view name) const;
  void refuse(std::string_view name, const std::string& reason);
  void warn(std::string_view name, const std::string& reason);

 private:
  std::optional<nlohmann::json> take(const char* name);
  bool read_integer(const char* name, std::int64_t& out, std::int64_t min, std::int64_t max);

  nlohmann::json value_;
  const std::string path_;
  ConfigFindings& findings_;
};

}  // namespace trunkline::server
