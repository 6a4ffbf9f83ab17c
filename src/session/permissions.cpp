// SPDX-License-Identifier: Apache-2.0
#include "session/permissions.h"

#include <algorithm>

namespace trunkline::session {

namespace {

bool allowed(bool client, bool anonymous, bool subscriber, const Asker& asker) {
  return (client && (!asker.anonymous || anonymous)) || (subscriber && asker.subscribed) ||
         asker.insecure;
}

}  // namespace

const ChannelOptions* find_options(const ChannelRules& rules, std::string_view channel) {
  if (is_private(rules, channel)) {
    channel.remove_prefix(rules.private_prefix.size());
  }
  const std::size_t boundary = rules.namespace_boundary.empty()
                                   ? std::string_view::npos
                                   : channel.find(rules.namespace_boundary);
  if (boundary == std::string_view::npos) {
    return &rules.without_namespace;
  }
  const auto found = rules.namespaces.find(channel.substr(0, boundary));
  return found == rules.namespaces.end() ? nullptr : &found->second;
}

hub::ChannelSettings channel_settings(const ChannelRules& rules, const ChannelOptions& options) {
  hub::ChannelSettings settings;
  settings.presence = options.presence;
  settings.join_leave = options.join_leave;
  if (options.has_history()) {
    settings.history = {.count_max = options.history_size,
                        .bytes_max = options.history_bytes,
                        .age_max = options.history_ttl};
    settings.meta_ttl =
        options.history_meta_ttl > Duration{0} ? options.history_meta_ttl : rules.history_meta_ttl;
  }
  return settings;
}

bool is_valid_channel(const ChannelRules& rules, std::string_view channel) {
  return channel.size() <= rules.max_length &&
         std::ranges::all_of(channel, [](char letter) { return letter >= 0x20 && letter < 0x7f; });
}

bool is_private(const ChannelRules& rules, std::string_view channel) {
  return !rules.private_prefix.empty() && channel.starts_with(rules.private_prefix);
}

UserLimit user_limit(const ChannelRules& rules, const ChannelOptions& options,
                     std::string_view channel, std::string_view user) {
  const std::size_t boundary = channel.find(rules.user_boundary);
  if (!options.allow_user_limited_channels || rules.user_boundary.empty() ||
      boundary == std::string_view::npos) {
    return UserLimit::kNone;
  }
  std::string_view users = channel.substr(boundary + rules.user_boundary.size());
  while (!user.empty() && !users.empty()) {
    // An empty separator would be found everywhere and lead nowhere: it separates nothing.
    const std::size_t end =
        rules.user_separator.empty() ? std::string_view::npos : users.find(rules.user_separator);
    if (users.substr(0, end) == user) {
      return UserLimit::kIncluded;
    }
    users = end == std::string_view::npos ? std::string_view{}
                                          : users.substr(end + rules.user_separator.size());
  }
  return UserLimit::kExcluded;
}

std::string personal_channel(const ChannelRules& rules, std::string_view space,
                             std::string_view user) {
  std::string channel(space);
  channel += space.empty() ? "" : rules.namespace_boundary;
  channel += rules.user_boundary;
  channel += user;
  return channel;
}

bool may_subscribe(const ChannelOptions& options, const Asker& asker) {
  return allowed(options.allow_subscribe_for_client, options.allow_subscribe_for_anonymous, false,
                 asker);
}

bool may_publish(const ChannelOptions& options, const Asker& asker) {
  return allowed(options.allow_publish_for_client, options.allow_publish_for_anonymous,
                 options.allow_publish_for_subscriber, asker);
}

bool may_read_presence(const ChannelOptions& options, const Asker& asker) {
  return allowed(options.allow_presence_for_client, options.allow_presence_for_anonymous,
                 options.allow_presence_for_subscriber, asker);
}

bool may_read_history(const ChannelOptions& options, const Asker& asker) {
  return allowed(options.allow_history_for_client, options.allow_history_for_anonymous,
                 options.allow_history_for_subscriber, asker);
}

}  // namespace trunkline::session
