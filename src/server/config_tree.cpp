// SPDX-License-Identifier: Apache-2.0
#include "server/config_tree.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <vector>

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

nlohmann::json from_yaml(const YAML::Node& node) {
  if (node.IsMap()) {
    nlohmann::json object = nlohmann::json::object();
    for (const auto& member : node) {
      object[member.first.Scalar()] = from_yaml(member.second);
    }
    return object;
  }
  if (node.IsSequence()) {
    nlohmann::json list = nlohmann::json::array();
    for (const YAML::Node& element : node) {
      list.push_back(from_yaml(element));
    }
    return list;
  }
  return node.IsScalar() ? nlohmann::json(node.Scalar()) : nlohmann::json{};
}

// The places that a variable may mean: section by section, where names hold '_' themselves.
const std::vector<std::string>& section_paths() {
  static const std::vector<std::string> kPaths = {
      "client.subscription_token", "client.token", "client", "channel.without_namespace",
      "channel", "http_server", "http_api", "websocket", "shutdown", "trunkline", "log"};
  return kPaths;
}

std::string variable_form(std::string_view path) {
  std::string name;
  for (const char letter : path) {
    name += letter == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  return name;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char letter) {
    return static_cast<char>(std::tolower(letter));
  });
  return result;
}

nlohmann::json& at_path(nlohmann::json& tree, const std::string& path) {
  nlohmann::json* place = &tree;
  std::istringstream names(path);
  for (std::string name; std::getline(names, name, '.');) {
    if (!place->is_object()) {
      *place = nlohmann::json::object();
    }
    place = &(*place)[name];
  }
  return *place;
}

constexpr std::string_view kNamespaces = "CHANNEL_NAMESPACES";

// `…_NAMESPACES="a b"` makes the list; members come in variables of their own.
void apply_namespaces(nlohmann::json& tree, const std::string& value) {
  if (value.starts_with('[')) {
    at_path(tree, "channel.namespaces") = value;
    return;
  }
  nlohmann::json list = nlohmann::json::array();
  std::istringstream names(value);
  for (std::string name; names >> name;) {
    list.push_back({{"name", name}});
  }
  at_path(tree, "channel.namespaces") = list;
}

bool apply_namespace_member(nlohmann::json& tree, std::string_view name,
                            const std::string& value) {
  name.remove_prefix(kNamespaces.size() + 1);
  nlohmann::json& list = at_path(tree, "channel.namespaces");
  if (!list.is_array()) {
    return false;
  }
  for (nlohmann::json& entry : list) {
    const std::string prefix = variable_form(entry.value("name", "")) + "_";
    if (name.starts_with(prefix)) {
      entry[lower(name.substr(prefix.size()))] = value;
      return true;
    }
  }
  return false;
}

}  // namespace

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
      case ConfigFormat::kYaml:
        return from_yaml(YAML::Load(std::string(text)));
    }
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kConfig, fmt::format("{}: line {}: {}", source,
                                                error.source().begin.line, error.description()));
  } catch (const std::exception& error) {
    return fail(ErrorCode::kConfig, fmt::format("{}: {}", source, error.what()));
  }
  return fail(ErrorCode::kConfig, fmt::format("{}: unknown format", source));
}

void apply_environment(nlohmann::json& tree, const EnvironmentVariables& environment) {
  EnvironmentVariables ours;
  for (const auto& [variable, value] : environment) {
    for (const std::string_view prefix : {"CENTRIFUGO_", "TRUNKLINE_"}) {
      if (variable.starts_with(prefix)) {
        ours.emplace_back(variable.substr(prefix.size()), value);
      }
    }
  }
  for (const auto& [name, value] : ours) {
    if (name == kNamespaces) {
      apply_namespaces(tree, value);
    }
  }
  for (const auto& [name, value] : ours) {
    if (name == kNamespaces ||
        (name.starts_with(std::string(kNamespaces) + "_") &&
         apply_namespace_member(tree, name, value))) {
      continue;
    }
    std::string path = lower(name);
    for (const std::string& section : section_paths()) {
      const std::string prefix = variable_form(section) + "_";
      if (name.starts_with(prefix)) {
        path = section + "." + lower(std::string_view(name).substr(prefix.size()));
        break;
      }
    }
    at_path(tree, path) = value;
  }
}

}  // namespace trunkline::server
