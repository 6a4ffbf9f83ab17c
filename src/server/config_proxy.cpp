// SPDX-License-Identifier: Apache-2.0
#include "server/config_proxy.h"

#include "core/ascii.h"
#include "net/url.h"
#include "server/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace trunkline::server {

namespace {

constexpr std::size_t kProxiesMax = 1000;
// A close frame's room for a reason.
constexpr std::size_t kReasonBytesMax = 123;

// Set by the server or by the connection it uses; passed on they would break the request.
constexpr std::array<std::string_view, 10> kOwnFields = {
    "Connection", "Content-Length", "Content-Type", "Expect",           "Host", "Keep-Alive",
    "TE",         "Trailer",        "Upgrade",      "Transfer-Encoding"};

bool is_own_field(std::string_view name) {
  return std::ranges::any_of(
      kOwnFields, [name](std::string_view own) { return equal_without_case(own, name); });
}

bool is_field_name(std::string_view name) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || kMarks.contains(letter);
  });
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char letter) { return letter >= ' ' && letter <= '~'; });
}

bool is_proxy_name(std::string_view name) {
  return name.size() >= 2 && std::ranges::all_of(name, [](char letter) {
           return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                  (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' ||
                  letter == '.';
         });
}

// Takes out what can not be passed on, and says so.
void check_header_names(ConfigSection& section, const char* option,
                        std::vector<std::string>& names) {
  std::erase_if(names, [&](const std::string& name) {
    if (!is_field_name(name)) {
      section.refuse(option, fmt::format("'{}' is not the name of a header field", name));
    } else if (is_own_field(name)) {
      section.warn(option, fmt::format("{} is not passed on: it belongs to one request", name));
      return true;
    }
    return false;
  });
}

void read_static_headers(ConfigSection& http, session::Fields& out) {
  http.read("static_headers", out);
  for (const auto& [name, value] : out) {
    if (!is_field_name(name) || !is_printable(value)) {
      http.refuse("static_headers", fmt::format("'{}' is not a header field", name));
    } else if (is_own_field(name)) {
      http.refuse("static_headers", fmt::format("{} is set by the server itself", name));
    }
  }
}

StatusTransform read_transform(ConfigSection& section) {
  StatusTransform transform;
  section.read("status_code", transform.status, 100, 999);
  if (transform.status == 0 || transform.status == 200) {
    section.refuse("status_code", "must be there: a status that is not 200");
  }
  session::Refusal error;
  session::Refusal end;
  end.disconnects = true;
  section.section("to_error", [&error](ConfigSection& to) {
    to.read("code", error.code, 1, std::numeric_limits<std::uint32_t>::max());
    to.read("message", error.message);
    to.read("temporary", error.temporary);
  });
  section.section("to_disconnect", [&end](ConfigSection& to) {
    to.read("code", end.code, 3000, 4999);
    to.read("reason", end.message);
  });
  if ((error.code == 0) == (end.code == 0)) {
    section.refuse("to_error", "one of to_error and to_disconnect needs a code, and not both");
  }
  transform.refusal = error.code != 0 ? std::move(error) : std::move(end);
  if (!is_printable(transform.refusal.message) ||
      transform.refusal.message.size() > kReasonBytesMax) {
    section.refuse("to_error",
                   fmt::format("its text must be ASCII of at most {} characters", kReasonBytesMax));
  }
  return transform;
}

void read_tls(ConfigSection& section, bool is_secure, ClientTlsOptions& out) {
  bool enabled = false;
  ClientTlsOptions read;
  section.read("enabled", enabled);
  section.read("server_ca_pem_file", read.ca_file);
  section.read("cert_pem_file", read.certificate_file);
  section.read("key_pem_file", read.key_file);
  section.read("insecure_skip_verify", read.insecure_no_verification);
  if (enabled && !is_secure) {
    section.refuse("enabled", "the endpoint is not https://");
  } else if (!enabled && read != ClientTlsOptions{}) {
    section.warn("enabled", "is false: the other options of this section have no effect");
  }
  if (enabled) {
    out = read;
  }
}

}  // namespace

ProxyPlace ProxyReader::read_proxy(ConfigSection& section) {
  ProxyConfig proxy;
  section.read("endpoint", proxy.endpoint);
  section.read("timeout", proxy.timeout);
  section.read("http_headers", proxy.http_headers);
  section.read("emulated_headers", proxy.emulated_headers);
  section.read("include_connection_meta", proxy.include_connection_meta);
  section.read("binary_encoding", proxy.binary_encoding);
  section.section("http", [&proxy](ConfigSection& http) {
    read_static_headers(http, proxy.static_headers);
    http.list("status_to_code_transforms",
              [&proxy](ConfigSection& one) { proxy.transforms.push_back(read_transform(one)); });
    http.section("tls", [&proxy](ConfigSection& tls) {
      read_tls(tls, proxy.endpoint.starts_with(net::kHttpSchemes.secure), proxy.tls);
    });
  });
  check_header_names(section, "http_headers", proxy.http_headers);
  check_header_names(section, "emulated_headers", proxy.emulated_headers);
  if (proxy.endpoint.empty()) {
    return 0;
  }
  if (proxy.endpoint.starts_with("grpc://")) {
    section.refuse("endpoint", "gRPC is not spoken here; backends are asked over http or https");
  } else if (const auto url = net::parse_url(proxy.endpoint, net::kHttpSchemes); !url.has_value()) {
    section.refuse("endpoint", url.error().context);
  }
  if (proxy.timeout <= Duration{0}) {
    section.refuse("timeout", "must be above zero");
  }
  if (config_.proxy.proxies.size() == kProxiesMax) {
    section.refuse("endpoint", fmt::format("more than {} proxies", kProxiesMax));
    return 0;
  }
  config_.proxy.proxies.push_back(std::move(proxy));
  return static_cast<ProxyPlace>(config_.proxy.proxies.size());
}

// With a switch of its own: client.proxy.connect and refresh.
ProxyPlace ProxyReader::read_switched(ConfigSection& section) {
  bool enabled = false;
  section.read("enabled", enabled);
  const ProxyPlace place = read_proxy(section);
  if (enabled && place == 0) {
    section.refuse("endpoint", "is needed when the proxy is enabled");
  }
  return enabled ? place : ProxyPlace{0};
}

void ProxyReader::read_client(ConfigSection& client) {
  client.section("proxy", [this](ConfigSection& proxy) {
    proxy.section("connect", [this](ConfigSection& section) {
      config_.proxy.connect = read_switched(section);
    });
    proxy.section("refresh", [this](ConfigSection& section) {
      config_.proxy.refresh = read_switched(section);
    });
  });
}

void ProxyReader::read_channel(ConfigSection& channel) {
  channel.section("proxy", [this](ConfigSection& proxy) {
    proxy.section("subscribe",
                  [this](ConfigSection& section) { subscribe_ = read_proxy(section); });
    proxy.section("publish", [this](ConfigSection& section) { publish_ = read_proxy(section); });
    proxy.section("sub_refresh",
                  [this](ConfigSection& section) { sub_refresh_ = read_proxy(section); });
  });
}

void ProxyReader::read_namespace(ConfigSection& options, const std::string& name) {
  const auto put = [this, name](ProxyPlace session::ChannelOptions::* member) {
    return [this, name, member](ProxyPlace place) {
      session::ChannelRules& rules = config_.channel;
      session::ChannelOptions& of = name.empty() ? rules.without_namespace : rules.namespaces[name];
      of.*member = place;
    };
  };
  wish(options, "subscribe_", subscribe_, "channel.proxy.subscribe",
       put(&session::ChannelOptions::subscribe_proxy));
  wish(options, "publish_", publish_, "channel.proxy.publish",
       put(&session::ChannelOptions::publish_proxy));
  wish(options, "sub_refresh_", sub_refresh_, "channel.proxy.sub_refresh",
       put(&session::ChannelOptions::sub_refresh_proxy));
}

void ProxyReader::wish(ConfigSection& section, const std::string& kind, const ProxyPlace& fallback,
                       const std::string& fallback_key, std::function<void(ProxyPlace)> put) {
  bool enabled = false;
  std::string name;
  const std::string switch_option = kind + "proxy_enabled";
  const std::string name_option = kind + "proxy_name";
  section.read(switch_option.c_str(), enabled);
  section.read(name_option.c_str(), name);
  if (enabled) {
    wishes_.push_back({.key = section.key(name_option),
                       .name = name == "default" ? "" : name,
                       .fallback = &fallback,
                       .fallback_key = fallback_key,
                       .put = std::move(put)});
  }
}

void ProxyReader::read_rpc_namespace(ConfigSection& section, const std::string& name) {
  wish(section, "", rpc_, "rpc.proxy", [this, name](ProxyPlace place) {
    ProxyRules& rules = config_.proxy;
    RpcNamespace& of = name.empty() ? rules.rpc_without_namespace : rules.rpc_namespaces[name];
    of.proxy = place;
  });
}

void ProxyReader::read_rpc(ConfigSection& rpc) {
  rpc.read("namespace_boundary", config_.proxy.rpc_namespace_boundary);
  rpc.section("proxy", [this](ConfigSection& section) { rpc_ = read_proxy(section); });
  rpc.section("without_namespace",
              [this](ConfigSection& section) { read_rpc_namespace(section, ""); });
  rpc.list("namespaces", [this](ConfigSection& section) {
    std::string name;
    section.read("name", name);
    if (!is_proxy_name(name)) {
      section.refuse("name",
                     fmt::format("'{}' is not a name: at least two of a-z A-Z 0-9 - _ .", name));
    }
    if (!config_.proxy.rpc_namespaces.emplace(name, RpcNamespace{}).second) {
      section.refuse("name", fmt::format("namespace '{}' is there twice", name));
    }
    read_rpc_namespace(section, name);
  });
}

void ProxyReader::read_jobs(ConfigSection& jobs) {
  jobs.list("methods", [this](ConfigSection& section) {
    std::string name;
    std::string proxy;
    section.read("name", name);
    section.read("proxy_name", proxy);
    if (name.empty() || !config_.jobs.proxied.emplace(name, 0).second) {
      section.refuse("name", "must be there, once: the rpc method of a job");
      return;
    }
    wishes_.push_back({.key = section.key("proxy_name"),
                       .name = proxy == "default" ? "" : proxy,
                       .fallback = &rpc_,
                       .fallback_key = "rpc.proxy",
                       .put = [this, name](ProxyPlace place) {
                         config_.jobs.proxied.find(name)->second = place;
                       }});
  });
}

void ProxyReader::read_named(ConfigSection& root) {
  root.list("proxies", [this](ConfigSection& section) {
    std::string name;
    section.read("name", name);
    if (!is_proxy_name(name) || name == "default") {
      section.refuse("name",
                     fmt::format("'{}' is not a name: at least two of a-z A-Z 0-9 - _ . and not "
                                 "\"default\"",
                                 name));
    }
    const ProxyPlace place = read_proxy(section);
    if (place == 0) {
      section.refuse("endpoint", "is needed");
    }
    if (!named_.emplace(name, place).second) {
      section.refuse("name", fmt::format("proxy '{}' is there twice", name));
    }
  });
}

void ProxyReader::read_limits(ConfigSection& trunkline) {
  ProxyRules& out = config_.proxy;
  trunkline.section("proxy", [&out](ConfigSection& section) {
    section.read("requests_max", out.requests_max, 1, 1'000'000);
    section.read("waiting_max", out.waiting_max, 0, 1'000'000);
    section.read("idle_connections_max", out.idle_connections_max, 0, 1'000'000);
    section.read("idle_timeout", out.idle_timeout);
    section.read("reply_bytes_max", out.reply_bytes_max, 1, kMany);
    section.read("breaker_failures", out.breaker.failures, 0, 1'000'000);
    section.read("breaker_open", out.breaker.open);
    section.read("breaker_open_max", out.breaker.open_max);
    if (out.breaker.open <= Duration{0}) {
      section.refuse("breaker_open", "must be above zero; breaker_failures 0 switches it off");
    } else if (out.breaker.open_max < out.breaker.open) {
      section.refuse("breaker_open_max", "must not be shorter than breaker_open");
    }
  });
}

void ProxyReader::resolve(ConfigSection& root) {
  for (const Wish& wish : wishes_) {
    const auto found = named_.find(wish.name);
    if (wish.name.empty() && *wish.fallback == 0) {
      root.refuse(wish.key, fmt::format("there is no proxy to use: {}.endpoint is not set",
                                        wish.fallback_key));
    } else if (!wish.name.empty() && found == named_.end()) {
      root.refuse(wish.key, fmt::format("there is no proxy '{}' in proxies", wish.name));
    } else {
      wish.put(wish.name.empty() ? *wish.fallback : found->second);
    }
  }
  const auto keep = [](std::vector<std::string>& kept, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const bool known = std::ranges::any_of(
          kept, [&name](const std::string& one) { return equal_without_case(one, name); });
      if (!known) {
        kept.push_back(name);
      }
    }
  };
  for (const ProxyConfig& proxy : config_.proxy.proxies) {
    keep(config_.client.request_headers_kept, proxy.http_headers);
    keep(config_.client.emulated_headers_kept, proxy.emulated_headers);
  }
}

}  // namespace trunkline::server
