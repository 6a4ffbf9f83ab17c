// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"
#include "server/config_options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The endpoint that the place means; empty: none.
std::string at(const ServerConfig& config, ProxyPlace place) {
  return place == 0 ? "" : config.proxy.at(place).endpoint;
}

TEST(ConfigProxy, ThereIsNoneByDefault) {
  const ServerConfig config = good(from_json("{}"));
  EXPECT_TRUE(config.proxy.empty());
  EXPECT_EQ(config.proxy.connect, 0);
  EXPECT_EQ(config.channel.without_namespace.subscribe_proxy, 0);
}

TEST(ConfigProxy, EachKindHasItsOwn) {
  const ServerConfig config = good(from_json(R"({
    "client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://a/c", "timeout": "3s"},
                         "refresh": {"enabled": true, "endpoint": "https://a/r"}}},
    "channel": {"proxy": {"subscribe": {"endpoint": "http://a/s"},
                          "publish": {"endpoint": "http://a/p"},
                          "sub_refresh": {"endpoint": "http://a/sr"}},
                "without_namespace": {"subscribe_proxy_enabled": true},
                "namespaces": [{"name": "ns", "publish_proxy_enabled": true,
                                "publish_proxy_name": "default", "sub_refresh_proxy_enabled": true}]},
    "rpc": {"proxy": {"endpoint": "http://a/rpc"}, "without_namespace": {"proxy_enabled": true}}
  })"));
  EXPECT_EQ(at(config, config.proxy.connect), "http://a/c");
  EXPECT_EQ(config.proxy.at(config.proxy.connect).timeout, seconds(3));
  EXPECT_EQ(at(config, config.proxy.refresh), "https://a/r");
  EXPECT_EQ(config.proxy.at(config.proxy.refresh).timeout, seconds(1));
  const session::ChannelOptions& plain = config.channel.without_namespace;
  EXPECT_EQ(at(config, plain.subscribe_proxy), "http://a/s");
  EXPECT_EQ(at(config, plain.publish_proxy), "");
  const session::ChannelOptions& ns = config.channel.namespaces.at("ns");
  EXPECT_EQ(at(config, ns.subscribe_proxy), "");
  EXPECT_EQ(at(config, ns.publish_proxy), "http://a/p");
  EXPECT_EQ(at(config, ns.sub_refresh_proxy), "http://a/sr");
  EXPECT_EQ(at(config, config.proxy.rpc_without_namespace.proxy), "http://a/rpc");
}

TEST(ConfigProxy, NamespacesMayNameOthers) {
  const ServerConfig config = good(from_json(R"({
    "channel": {"namespaces": [{"name": "ns", "subscribe_proxy_enabled": true,
                                "subscribe_proxy_name": "one"}]},
    "rpc": {"namespace_boundary": "/",
            "namespaces": [{"name": "aa", "proxy_enabled": true, "proxy_name": "two"},
                           {"name": "bb"}]},
    "proxies": [{"name": "one", "endpoint": "http://1/"}, {"name": "two", "endpoint": "http://2/"}]
  })"));
  EXPECT_EQ(at(config, config.channel.namespaces.at("ns").subscribe_proxy), "http://1/");
  EXPECT_EQ(at(config, config.proxy.rpc_namespaces.at("aa").proxy), "http://2/");
  EXPECT_EQ(at(config, config.proxy.rpc_namespaces.at("bb").proxy), "");
  EXPECT_EQ(config.proxy.rpc_namespace_boundary, "/");
}

TEST(ConfigProxy, HeadersThatAreKeptAreThoseOfAll) {
  const ServerConfig config = good(from_json(R"({
    "client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://a/",
                                     "http_headers": ["Cookie", "X-A"],
                                     "emulated_headers": ["Authorization"]},
                         "refresh": {"endpoint": "http://a/", "http_headers": ["cookie", "X-B"]}}}
  })"));
  EXPECT_EQ(config.client.request_headers_kept, (std::vector<std::string>{"Cookie", "X-A", "X-B"}));
  EXPECT_EQ(config.client.emulated_headers_kept, std::vector<std::string>{"Authorization"});
}

TEST(ConfigProxy, HasOptionsOfHttp) {
  const ServerConfig config = good(from_json(R"({
    "rpc": {"proxy": {"endpoint": "https://a/", "include_connection_meta": true,
      "binary_encoding": true,
      "http": {"static_headers": {"X-Key": "k"},
        "tls": {"enabled": true, "server_ca_pem_file": "ca.pem"},
        "status_to_code_transforms": [
          {"status_code": 404, "to_error": {"code": 404, "message": "no", "temporary": true}},
          {"status_code": 403, "to_disconnect": {"code": 4403, "reason": "out"}}]}}}
  })"));
  ASSERT_EQ(config.proxy.proxies.size(), 1U);
  const ProxyConfig& proxy = config.proxy.proxies[0];
  EXPECT_TRUE(proxy.include_connection_meta && proxy.binary_encoding);
  EXPECT_EQ(proxy.static_headers, (session::Fields{{"X-Key", "k"}}));
  EXPECT_EQ(proxy.tls.ca_file, "ca.pem");
  ASSERT_EQ(proxy.transforms.size(), 2U);
  EXPECT_EQ(proxy.transforms[0].status, 404U);
  EXPECT_TRUE(proxy.transforms[0].refusal.temporary);
  EXPECT_FALSE(proxy.transforms[0].refusal.disconnects);
  EXPECT_EQ(proxy.transforms[1].refusal.code, 4403U);
  EXPECT_TRUE(proxy.transforms[1].refusal.disconnects);
}

TEST(ConfigProxy, ComesFromTheEnvironment) {
  const ServerConfig config = good(
      from_json("{}", {{"CENTRIFUGO_CLIENT_PROXY_CONNECT_ENABLED", "true"},
                       {"CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", "http://a/"},
                       {"CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_HEADERS", "Cookie Origin"},
                       {"CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS", R"({"X-A": "b"})"},
                       {"CENTRIFUGO_PROXIES", R"([{"name": "one", "endpoint": "http://1/"}])"},
                       {"CENTRIFUGO_RPC_WITHOUT_NAMESPACE_PROXY_ENABLED", "true"},
                       {"CENTRIFUGO_RPC_WITHOUT_NAMESPACE_PROXY_NAME", "one"},
                       {"TRUNKLINE_TRUNKLINE_PROXY_REQUESTS_MAX", "7"}}));
  const ProxyConfig& connect = config.proxy.at(config.proxy.connect);
  EXPECT_EQ(connect.endpoint, "http://a/");
  EXPECT_EQ(connect.http_headers, (std::vector<std::string>{"Cookie", "Origin"}));
  EXPECT_EQ(connect.static_headers, (session::Fields{{"X-A", "b"}}));
  EXPECT_EQ(at(config, config.proxy.rpc_without_namespace.proxy), "http://1/");
  EXPECT_EQ(config.proxy.requests_max, 7U);
}

TEST(ConfigProxy, HasLimitsOfOurOwn) {
  const ServerConfig config = good(from_json(R"({"trunkline": {"proxy": {
    "requests_max": 1, "waiting_max": 2, "idle_connections_max": 3, "idle_timeout": "4s",
    "reply_bytes_max": 5, "breaker_failures": 6, "breaker_open": "7ms", "breaker_open_max": "8ms"
  }}})"));
  EXPECT_EQ(config.proxy.requests_max, 1U);
  EXPECT_EQ(config.proxy.waiting_max, 2U);
  EXPECT_EQ(config.proxy.idle_connections_max, 3U);
  EXPECT_EQ(config.proxy.idle_timeout, seconds(4));
  EXPECT_EQ(config.proxy.reply_bytes_max, 5U);
  EXPECT_EQ(config.proxy.breaker.failures, 6U);
  EXPECT_EQ(config.proxy.breaker.open, milliseconds(7));
  EXPECT_EQ(config.proxy.breaker.open_max, milliseconds(8));
}

struct Mistake {
  std::string_view text;
  std::string_view error;
};

class ConfigProxyMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigProxyMistake, IsRefusedWithKeyAndReason) {
  const std::string error = error_of(from_json(GetParam().text));
  EXPECT_TRUE(error.starts_with(GetParam().error)) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Of, ConfigProxyMistake,
    testing::Values(
        Mistake{R"({"client":{"proxy":{"connect":{"enabled":true}}}})",
                "c.json: client.proxy.connect.endpoint: is needed when the proxy is enabled"},
        Mistake{R"({"client":{"proxy":{"connect":{"endpoint":"grpc://a:1"}}}})",
                "c.json: client.proxy.connect.endpoint: gRPC is not spoken here"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"a"}}})",
                "c.json: rpc.proxy.endpoint: a: a URL is http://"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"http://a","timeout":"0"}}})",
                "c.json: rpc.proxy.timeout: must be above zero"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"http://a","http_headers":["a b"]}}})",
                "c.json: rpc.proxy.http_headers: 'a b' is not the name of a header field"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"http://a","http":{"static_headers":[1]}}}})",
                "c.json: rpc.proxy.http.static_headers: must be an object of strings"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"http://a","http":{"static_headers":{"A":"\n"}}}}})",
                "c.json: rpc.proxy.http.static_headers: 'A' is not a header field"},
        Mistake{
            R"({"rpc":{"proxy":{"endpoint":"http://a","http":{"static_headers":{"host":"a"}}}}})",
            "c.json: rpc.proxy.http.static_headers: host is set by the server itself"},
        Mistake{R"({"rpc":{"proxy":{"endpoint":"http://a","http":{"tls":{"enabled":true}}}}})",
                "c.json: rpc.proxy.http.tls.enabled: the endpoint is not https://"},
        Mistake{R"({"rpc":{"proxy":{"http":{"status_to_code_transforms":[{"status_code":404}]}}}})",
                "c.json: rpc.proxy.http.status_to_code_transforms[0].to_error: one of"},
        Mistake{R"({"rpc":{"proxy":{"http":{"status_to_code_transforms":
                  [{"to_error":{"code":1}}]}}}})",
                "c.json: rpc.proxy.http.status_to_code_transforms[0].status_code: must be there"},
        Mistake{R"({"trunkline":{"jobs":{"methods":[{"name":"rescan"}]}}})",
                "c.json: trunkline.jobs.methods[0].proxy_name: there is no proxy to use: "
                "rpc.proxy.endpoint is not set"},
        Mistake{R"({"trunkline":{"jobs":{"methods":[{"name":"rescan","proxy_name":"x1"}]}}})",
                "c.json: trunkline.jobs.methods[0].proxy_name: there is no proxy 'x1'"},
        Mistake{R"({"trunkline":{"jobs":{"methods":[{"proxy_name":"x1"}]}}})",
                "c.json: trunkline.jobs.methods[0].name: must be there"},
        Mistake{R"({"trunkline":{"jobs":{"history_ttl":"0s"}}})",
                "c.json: trunkline.jobs.history_ttl: must be longer than nothing"},
        Mistake{R"({"rpc":{"without_namespace":{"proxy_enabled":true}}})",
                "c.json: rpc.without_namespace.proxy_name: there is no proxy to use: "
                "rpc.proxy.endpoint is not set"},
        Mistake{R"({"channel":{"namespaces":[{"name":"ns","publish_proxy_enabled":true,
                  "publish_proxy_name":"x1"}]}})",
                "c.json: channel.namespaces[0].publish_proxy_name: there is no proxy 'x1'"},
        Mistake{R"({"proxies":[{"name":"a1"}]})", "c.json: proxies[0].endpoint: is needed"},
        Mistake{R"({"proxies":[{"name":"a","endpoint":"http://a"}]})", "c.json: proxies[0].name:"},
        Mistake{R"({"proxies":[{"name":"a1","endpoint":"http://a"},
                  {"name":"a1","endpoint":"http://b"}]})",
                "c.json: proxies[1].name: proxy 'a1' is there twice"},
        Mistake{R"({"rpc":{"namespaces":[{"name":"n1"},{"name":"n1"}]}})",
                "c.json: rpc.namespaces[1].name: namespace 'n1' is there twice"},
        Mistake{R"({"trunkline":{"proxy":{"breaker_open":"2s","breaker_open_max":"1s"}}})",
                "c.json: trunkline.proxy.breaker_open_max: must not be shorter"}));

TEST(ConfigProxy, WarnsOfWhatHasNoEffect) {
  const auto loaded = from_json(R"({
    "client": {"proxy": {"connect": {"endpoint": "https://a/", "grpc_metadata": ["x"],
      "http_headers": ["Host", "Cookie"], "http": {"tls": {"server_ca_pem_file": "a"}}}}},
    "channel": {"proxy": {"subscribe_stream": {}}}})");
  const ServerConfig config = good(loaded);
  EXPECT_EQ(config.proxy.proxies[0].http_headers, std::vector<std::string>{"Cookie"});
  EXPECT_EQ(
      loaded->warnings,
      (std::vector<std::string>{
          "c.json: client.proxy.connect.http.tls.enabled: is false: the other options of this "
          "section have no effect",
          "c.json: client.proxy.connect.http_headers: Host is not passed on: it belongs to one "
          "request",
          "c.json: unknown option 'client.proxy.connect.grpc_metadata' is ignored",
          "c.json: unknown option 'channel.proxy.subscribe_stream' is ignored"}));
}

}  // namespace
}  // namespace trunkline::server
