// SPDX-License-Identifier: Apache-2.0
//
// What a client may do with a channel. Pure functions of the rules, the channel's name and the
// user.
#pragma once

#include "hub/messages.h"
#include "session/options.h"

#include <string>
#include <string_view>

namespace trunkline::session {

// The options of the channel's namespace; nullptr when there is no such namespace.
[[nodiscard]] const ChannelOptions* find_options(const ChannelRules& rules,
                                                 std::string_view channel);

// How the hub treats the channel.
[[nodiscard]] hub::ChannelSettings channel_settings(const ChannelRules& rules,
                                                    const ChannelOptions& options);

// Printable ASCII and not too long; anything else is a bad request.
[[nodiscard]] bool is_valid_channel(const ChannelRules& rules, std::string_view channel);

// `$…`: needs a token, even in insecure mode.
[[nodiscard]] bool is_private(const ChannelRules& rules, std::string_view channel);

// Whether the channel names its users (`name#user1,user2`) and this user is one of them.
enum class UserLimit : std::uint8_t { kNone, kIncluded, kExcluded };
[[nodiscard]] UserLimit user_limit(const ChannelRules& rules, const ChannelOptions& options,
                                   std::string_view channel, std::string_view user);

// The channel of a user's own: `#user`, or `namespace:#user`.
[[nodiscard]] std::string personal_channel(const ChannelRules& rules, std::string_view space,
                                           std::string_view user);

// The three questions below are asked after tokens and features were looked at.
struct Asker {
  bool anonymous = false;   // the user is empty
  bool subscribed = false;  // to the channel
  bool insecure = false;    // client.insecure
};

[[nodiscard]] bool may_subscribe(const ChannelOptions& options, const Asker& asker);
[[nodiscard]] bool may_publish(const ChannelOptions& options, const Asker& asker);
[[nodiscard]] bool may_read_presence(const ChannelOptions& options, const Asker& asker);
[[nodiscard]] bool may_read_history(const ChannelOptions& options, const Asker& asker);

}  // namespace trunkline::session
