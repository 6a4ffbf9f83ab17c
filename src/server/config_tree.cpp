// SPDX-License-Identifier: Apache-2.0
#include "server/config_tree.h"

#include <fmt/format.h>

#include <cstdint>
#include <sstream>
#include <toml++/toml.h>
#include <vector>
#include <yaml-cpp/yaml.h>

namespace trunkline::server {

namespace {

nlohmann::json from_toml(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    nlohmann::json object = nlohmann::json::object();
    for (const auto& [key, value] : *table) {
      object[std::string(key.str())] = from_toml(value);
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    nlohmann::json list = nlohmann::json::array();
    for (const toml::node& value : *array) {
      list.push_back(from_toml(value));
    }
    return list;
  }
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* number = node.as_integer()) {
    return number->get();
  }
  if (const auto* flag = node.as_boolean()) {
    return flag->get();
  }
  if (const auto* number = node.as_floating_point()) {
    return number->get();
  }
  std::ostringstream text;
  node.visit([&text](const auto& value) { text << value; });
  return text.str();
}

// An alias may stand for something around it, or multiply what it stands for: both are bounded.
class YamlReader {
 public:
  nlohmann::json read(const YAML::Node& node, int depth = 0) {
    if (depth > kDepthMax || nodes_left_ == 0) {
      exceeded_ = true;
    }
    if (exceeded_) {
      return {};
    }
    --nodes_left_;
    if (node.IsMap()) {
      nlohmann::json object = nlohmann::json::object();
      for (const auto& member : node) {
        object[member.first.Scalar()] = read(member.second, depth + 1);
      }
      return object;
    }
    if (node.IsSequence()) {
      nlohmann::json list = nlohmann::json::array();
      for (std::size_t i = 0; i < node.size() && !exceeded_; ++i) {
        list.push_back(read(node[i], depth + 1));
      }
      return list;
    }
    if (!node.IsScalar()) {
      return {};
    }
    // yaml-cpp tags a plain scalar "?" and a quoted one "!".
    return node.Tag() == "?" ? untyped(node.Scalar()) : nlohmann::json(node.Scalar());
  }

  [[nodiscard]] bool exceeded() const { return exceeded_; }

 private:
  static constexpr int kDepthMax = 64;

  std::size_t nodes_left_ = 100'000;
  bool exceeded_ = false;
};

}  // namespace

nlohmann::json untyped(std::string_view text) {
  return nlohmann::json::binary(std::vector<std::uint8_t>(text.begin(), text.end()));
}

std::optional<std::string> untyped_text(const nlohmann::json& value) {
  if (!value.is_binary()) {
    return std::nullopt;
  }
  const auto& bytes = value.get_binary();
  return std::string(bytes.begin(), bytes.end());
}

Result<nlohmann::json> parse_tree(std::string_view text, ConfigFormat format,
                                  const std::string& source) {
  // The libraries throw; nothing of that leaves this function.
  try {
    switch (format) {
      case ConfigFormat::kJson:
        return nlohmann::json::parse(text);
      case ConfigFormat::kToml: {
        const toml::table table = toml::parse(text);
        return from_toml(table);
      }
      case ConfigFormat::kYaml: {
        YamlReader reader;
        nlohmann::json tree = reader.read(YAML::Load(std::string(text)));
        if (reader.exceeded()) {
          return fail(ErrorCode::kConfig,
                      fmt::format("{}: too large or nested too deeply", source));
        }
        return tree;
      }
    }
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kConfig, fmt::format("{}: line {}: {}", source,
                                                error.source().begin.line, error.description()));
  } catch (const std::exception& error) {
    return fail(ErrorCode::kConfig, fmt::format("{}: {}", source, error.what()));
  }
  return fail(ErrorCode::kConfig, fmt::format("{}: unknown format", source));
}

}  // namespace trunkline::server
