// SPDX-License-Identifier: Apache-2.0
#include "net/grid_statistics.h"

#include "session/json.h"
#include "ws/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace trunkline::net {

namespace {

// Names and reasons come from peers: any bytes. JSON is UTF-8.
std::string readable(std::string text) {
  ws::Utf8Checker checker;
  if (!checker.feed(text) || !checker.is_complete()) {
    std::ranges::replace_if(
        text, [](char letter) { return static_cast<unsigned char>(letter) >= 0x80; }, '?');
  }
  return text;
}

std::string_view state_of(const GridPeerStats& peer) {
  if (peer.is_guest) {
    return "guest";
  }
  if (peer.is_connected) {
    return "connected";
  }
  return peer.is_dialling ? "dialling" : "waiting";
}

void write(session::JsonText& json, const GridPeerStats& peer) {
  const auto count = [&json](std::string_view member, std::uint64_t value) {
    json.member(member).number(value);
  };
  json.open();
  json.member("name").string(readable(peer.name));
  json.member("state").string(state_of(peer));
  json.member("dialled_here").raw(peer.is_connected && peer.dialled_here ? "true" : "false");
  count("connects", peer.connects);
  json.member("last_error").string(readable(peer.last_error));
  count("round_trip_us",
        static_cast<std::uint64_t>(peer.round_trip / std::chrono::microseconds(1)));
  json.member("clock_ahead_ms").raw(fmt::format("{}", peer.clock_ahead.count()));
  count("bytes_sent", peer.bytes_sent);
  count("bytes_received", peer.bytes_received);
  count("messages_sent", peer.messages_sent);
  count("messages_received", peer.messages_received);
  count("calls_refused", peer.calls_refused);
  count("calls_open", peer.calls_open);
  count("handlers_running", peer.handlers_running);
  count("unsent_bytes", peer.unsent_bytes);
  json.close();
}

}  // namespace

std::vector<GridPeerStats> statistics_of(const grid::NodeCore& core) {
  std::vector<GridPeerStats> all;
  core.for_each_peer([&all](const grid::PeerStatus& peer) {
    GridPeerStats stats;
    stats.name = peer.name;
    stats.is_connected = peer.is_connected;
    stats.is_dialling = peer.is_dialled;
    stats.is_guest = !peer.is_member;
    stats.dialled_here = peer.side == grid::Side::kDialler;
    stats.connects = peer.connects;
    stats.last_error = peer.last_error;
    stats.round_trip = peer.mux.round_trip;
    stats.clock_ahead = peer.skew;
    stats.bytes_sent = peer.mux.bytes_sent;
    stats.bytes_received = peer.mux.bytes_received;
    stats.messages_sent = peer.mux.messages_sent;
    stats.messages_received = peer.mux.messages_received;
    stats.calls_refused = peer.mux.calls_refused;
    stats.calls_open = peer.mux.own_calls;
    stats.handlers_running = peer.mux.handlers;
    stats.unsent_bytes = peer.mux.unsent_bytes;
    all.push_back(std::move(stats));
  });
  return all;
}

std::string statistics_json(std::string_view name, TimePoint now,
                            const std::vector<GridPeerStats>& peers) {
  session::JsonText json;
  json.open();
  json.member("name").string(readable(std::string(name)));
  json.member("clock_us")
      .number(static_cast<std::uint64_t>(now.time_since_epoch() / std::chrono::microseconds(1)));
  json.member("peers").raw("[");
  for (const GridPeerStats& peer : peers) {
    if (&peer != &peers.front()) {
      json.raw(",");
    }
    write(json, peer);
  }
  json.raw("]").close();
  return json.take();
}

}  // namespace trunkline::net
