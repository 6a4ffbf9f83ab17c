// SPDX-License-Identifier: Apache-2.0
//
// Sessions with subscriptions that the server begins: what the tests of both ways share.
#pragma once

#include "session_fixture.h"

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

class ServerSubsTest : public SessionTest {
 protected:
  ServerSubsTest() {
    options.client.ping_interval = Duration{0};
    ChannelOptions& room = options.channel.namespaces["room"];
    room.presence = room.join_leave = room.force_push_join_leave = true;
  }

  void grant(const std::string& token, const std::vector<std::string>& channels) {
    ConnectionClaims& claims = tokens.connections[token];
    claims.user = "ann";
    claims.channels.clear();
    for (const std::string& channel : channels) {
      claims.channels.push_back({.channel = channel});
    }
  }

  // The `subs` of a connect reply, or what came in its place.
  std::string connect(Peer& peer, const std::string& token, const std::string& subs = "{}") {
    const std::string reply =
        ask(peer, fmt::format(R"({{"id":1,"connect":{{"token":"{}","subs":{}}}}})", token, subs));
    const std::size_t at = reply.find(R"("subs":)");
    return at == std::string::npos ? reply : reply.substr(at + 7);
  }

  static std::string ask_for(const std::string& channel, const Position& from) {
    return fmt::format(R"({{"{}":{{"recover":true,"epoch":"{}","offset":{}}}}})", channel,
                       from.epoch, from.offset.value);
  }

  static std::string pub(const std::string& channel, int number) {
    return fmt::format(R"({{"push":{{"channel":"{0}","pub":{{"data":{1},"offset":{1}}}}}}})",
                       channel, number);
  }
};

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace trunkline::session
