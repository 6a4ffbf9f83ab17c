// SPDX-License-Identifier: Apache-2.0
#include "server/config_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <sstream>
#include <utility>

namespace trunkline::server {

namespace {

// A variable's name does not say where a section ends, for options hold '_' themselves. So the
// sections are listed, an inner one before the one around it.
constexpr std::string_view kSections[] = {
    "client.proxy.connect.http.tls",
    "client.proxy.connect.http",
    "client.proxy.connect",
    "client.proxy.refresh.http.tls",
    "client.proxy.refresh.http",
    "client.proxy.refresh",
    "client.subscription_token",
    "client.token",
    "client.rate_limit.client_command.total",
    "client.rate_limit.client_command",
    "client.rate_limit.client_error.total",
    "client.rate_limit.client_error",
    "client.rate_limit.ip_connect",
    "client.rate_limit",
    "client.subscribe_to_user_personal_channel",
    "client",
    "channel.proxy.subscribe.http.tls",
    "channel.proxy.subscribe.http",
    "channel.proxy.subscribe",
    "channel.proxy.publish.http.tls",
    "channel.proxy.publish.http",
    "channel.proxy.publish",
    "channel.proxy.sub_refresh.http.tls",
    "channel.proxy.sub_refresh.http",
    "channel.proxy.sub_refresh",
    "rpc.proxy.http.tls",
    "rpc.proxy.http",
    "rpc.proxy",
    "rpc.without_namespace",
    "rpc",
    "channel.without_namespace.slow_subscriber",
    "channel.without_namespace",
    "channel",
    "http_server.tls",
    "http_server",
    "http_api",
    "websocket",
    "shutdown",
    "trunkline.jobs",
    "trunkline.outbox",
    "trunkline.proxy",
    "trunkline",
    "log",
};
constexpr std::string_view kNamespaceSections[] = {"slow_subscriber"};
constexpr std::string_view kNamespaces = "CHANNEL_NAMESPACES";

struct Variable {
  std::string full_name;
  std::string value;
};

// Name without prefix: the variable. In order, so that a list comes before its members.
using Variables = std::map<std::string, Variable, std::less<>>;

Variables ours(const EnvironmentVariables& environment) {
  Variables found;
  for (const std::string_view prefix : {"CENTRIFUGO_", "TRUNKLINE_"}) {
    for (const auto& [name, value] : environment) {
      if (name.starts_with(prefix)) {
        found.insert_or_assign(name.substr(prefix.size()), Variable{name, value});
      }
    }
  }
  return found;
}

std::string variable_form(std::string_view path) {
  std::string name(path);
  for (char& letter : name) {
    const bool is_lower = letter >= 'a' && letter <= 'z';
    letter = letter == '.' || letter == '-' ? '_'
             : is_lower                     ? static_cast<char>(letter - 'a' + 'A')
                                            : letter;
  }
  return name;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& letter : result) {
    letter = letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  }
  return result;
}

// The object at a dotted path, made where it is absent; nullptr when something else is in the way,
// which the reader then reports.
nlohmann::json* object_at(nlohmann::json& tree, std::string_view path) {
  nlohmann::json* place = &tree;
  std::istringstream names{std::string(path)};
  for (std::string name;;) {
    if (place->is_null()) {
      *place = nlohmann::json::object();
    }
    if (!place->is_object()) {
      return nullptr;
    }
    if (!std::getline(names, name, '.')) {
      return place;
    }
    place = &(*place)[name];
  }
}

std::pair<std::string_view, std::string_view> split(std::string_view name,
                                                    std::span<const std::string_view> sections) {
  for (const std::string_view section : sections) {
    const std::string prefix = variable_form(section) + "_";
    // The one option that begins as a section beside it does: http_headers of a proxy.
    const bool is_headers = section.ends_with(".http") && name == prefix + "HEADERS";
    if (name.starts_with(prefix) && !is_headers) {
      return {section, name.substr(prefix.size())};
    }
  }
  return {"", name};
}

// Sets the option of `object`, whose dotted path is `path`, that the variable's name means.
void put(nlohmann::json& object, std::string_view path, std::string_view name,
         std::span<const std::string_view> sections, const Variable& variable,
         EnvironmentEffects& effects) {
  const auto [section, rest] = split(name, sections);
  const std::string option = lower(rest);
  std::string key(path);
  for (const std::string_view part : {section, std::string_view(option)}) {
    key += key.empty() || part.empty() ? "" : ".";
    key += part;
  }
  if (nlohmann::json* const place = object_at(object, section)) {
    (*place)[option] = untyped(variable.value);
    effects.origins.insert_or_assign(std::move(key), variable.full_name);
  }
}

void put_namespaces(nlohmann::json& tree, const Variable& variable, EnvironmentEffects& effects) {
  nlohmann::json* const channel = object_at(tree, "channel");
  if (channel == nullptr) {
    return;
  }
  nlohmann::json& list = (*channel)["namespaces"];
  effects.origins.insert_or_assign("channel.namespaces", variable.full_name);
  if (variable.value.starts_with('[')) {
    list = nlohmann::json::parse(variable.value, nullptr, false);
    return;
  }
  list = nlohmann::json::array();
  std::istringstream names(variable.value);
  for (std::string name; names >> name;) {
    list.push_back({{"name", untyped(name)}});
  }
}

// The namespaces' list where there is one. Looks without making anything.
nlohmann::json* namespaces_of(nlohmann::json& tree) {
  const nlohmann::json::json_pointer place("/channel/namespaces");
  return tree.contains(place) && tree[place].is_array() ? &tree[place] : nullptr;
}

std::string name_of(const nlohmann::json& entry) {
  if (!entry.is_object() || !entry.contains("name")) {
    return {};
  }
  const nlohmann::json& name = entry["name"];
  return name.is_string() ? name.get<std::string>() : untyped_text(name).value_or("");
}

// `rest` is NAME_OPTION. Of the namespaces `my` and `my_chat`, MY_CHAT_PRESENCE means the second.
void put_namespace_member(nlohmann::json& tree, std::string_view rest, const Variable& variable,
                          EnvironmentEffects& effects) {
  nlohmann::json* const list = namespaces_of(tree);
  std::size_t best = 0;
  std::size_t best_size = 0;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string name = name_of((*list)[i]);
    if (name.size() > best_size && rest.starts_with(variable_form(name) + "_")) {
      best = i;
      best_size = name.size();
    }
  }
  if (best_size == 0) {
    effects.warnings.push_back(fmt::format(
        "environment variable {}: no such namespace; it is ignored", variable.full_name));
    return;
  }
  put((*list)[best], fmt::format("channel.namespaces[{}]", best), rest.substr(best_size + 1),
      kNamespaceSections, variable, effects);
}

}  // namespace

EnvironmentEffects apply_environment(nlohmann::json& tree,
                                     const EnvironmentVariables& environment) {
  static const std::string kMember = std::string(kNamespaces) + "_";
  EnvironmentEffects effects;
  for (const auto& [name, variable] : ours(environment)) {
    if (name == kNamespaces) {
      put_namespaces(tree, variable, effects);
    } else if (name.starts_with(kMember)) {
      put_namespace_member(tree, std::string_view(name).substr(kMember.size()), variable, effects);
    } else {
      put(tree, "", name, kSections, variable, effects);
    }
  }
  return effects;
}

}  // namespace trunkline::server
