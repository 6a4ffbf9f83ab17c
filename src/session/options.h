// SPDX-License-Identifier: Apache-2.0
//
// What a session may do and for how long: the `client` and `channel` sections of the configuration
// under the names that Centrifugo 6 uses, as plain values. server/config reads them from a file.
#pragma once

#include "core/time.h"
#include "core/token_bucket.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

enum class RecoveryMode : std::uint8_t { kStream, kCache };

// What happens to a subscriber whose next publication the log no longer holds. It is always told.
enum class OnLost : std::uint8_t {
  kResync,      // unsubscribe push 2500: it comes back for a fresh start
  kDisconnect,  // the connection is closed with 3010
  kSkip,        // gap push: it goes on with what comes next
  kLatest,      // gap push: it goes on with the newest that there is
};

// One namespace's options (`channel.namespaces[]`, `channel.without_namespace`).
struct ChannelOptions {
  bool presence = false;
  bool join_leave = false;
  bool force_push_join_leave = false;
  std::size_t history_size = 0;  // publications; 0 with history_ttl 0: no history
  Duration history_ttl{0};
  Duration history_meta_ttl{0};   // 0: channel.history_meta_ttl
  std::size_t history_bytes = 0;  // ours: bytes of wire frames; 0: no limit of its own
  bool force_positioning = false;
  bool allow_positioning = false;
  bool force_recovery = false;
  bool allow_recovery = false;
  RecoveryMode force_recovery_mode = RecoveryMode::kStream;
  bool auto_cache_recover = false;
  bool allow_subscribe_for_client = false;
  bool allow_subscribe_for_anonymous = false;
  bool allow_publish_for_client = false;
  bool allow_publish_for_anonymous = false;
  bool allow_publish_for_subscriber = false;
  bool allow_presence_for_client = false;
  bool allow_presence_for_anonymous = false;
  bool allow_presence_for_subscriber = false;
  bool allow_history_for_client = false;
  bool allow_history_for_anonymous = false;
  bool allow_history_for_subscriber = false;
  bool allow_user_limited_channels = false;
  OnLost on_lost = OnLost::kResync;  // ours: slow_subscriber.on_lost
  // For the application, which the session asks whether it decides: the places of the backends
  // among those of the configuration, from 1 (`…_proxy_enabled`, `…_proxy_name`); 0: none.
  std::uint16_t subscribe_proxy = 0;
  std::uint16_t publish_proxy = 0;
  std::uint16_t sub_refresh_proxy = 0;

  [[nodiscard]] bool has_history() const { return history_size > 0 && history_ttl > Duration{0}; }
};

// The `channel` section.
struct ChannelRules {
  std::size_t max_length = 255;
  std::string private_prefix = "$";
  std::string namespace_boundary = ":";
  std::string user_boundary = "#";
  std::string user_separator = ",";
  Duration history_meta_ttl = std::chrono::hours(720);
  ChannelOptions without_namespace;
  std::map<std::string, ChannelOptions, std::less<>> namespaces;
};

// The `client` section.
struct ClientOptions {
  bool insecure = false;
  bool allow_anonymous_connect_without_token = false;
  bool disallow_anonymous_connection_tokens = false;
  bool connect_include_server_time = false;
  Duration ping_interval = std::chrono::seconds(25);
  Duration pong_timeout = std::chrono::seconds(8);
  Duration stale_close_delay = std::chrono::seconds(10);
  Duration expired_close_delay = std::chrono::seconds(25);
  Duration expired_sub_close_delay = std::chrono::seconds(25);
  std::size_t channel_limit = 128;
  std::size_t history_max_publication_limit = 300;
  std::size_t recovery_max_publication_limit = 300;
  // client.subscribe_to_user_personal_channel: `#user`, in a namespace unless that is empty.
  bool personal_channel = false;
  std::string personal_channel_namespace;
  std::size_t user_connection_limit = 0;  // 0: none; anonymous users are not counted
  std::size_t calls_in_flight_max = 32;  // ours: rpc commands that the application has not answered
  // Commands of one client and errors that it was answered; each rate applies, empty: no limit.
  std::vector<Rate> command_rates;
  std::vector<Rate> error_rates;
  std::vector<std::string> allowed_origins;
  // What ClientContext keeps: names of header fields, compared without case. From the proxies'
  // `http_headers` and `emulated_headers`.
  std::vector<std::string> request_headers_kept{};
  std::vector<std::string> emulated_headers_kept{};
};

struct Options {
  ClientOptions client;
  ChannelRules channel;
  std::string server_version;  // what a connect reply says
};

}  // namespace trunkline::session
