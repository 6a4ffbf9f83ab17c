// SPDX-License-Identifier: Apache-2.0
#include "grid_table.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>

namespace trunkline::app {

namespace {

// A peer's name must not steer the terminal.
std::string harmless(std::string text) {
  std::ranges::replace_if(
      text, [](char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F; },
      '?');
  return text;
}

std::string text_at(const nlohmann::json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? harmless(found->get<std::string>())
                                                     : std::string();
}

std::uint64_t count_at(const nlohmann::json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

GridSample sample_of(const nlohmann::json& peer) {
  GridSample sample;
  sample.peer = text_at(peer, "name");
  sample.state = text_at(peer, "state");
  sample.dialled_here = peer.contains("dialled_here") && peer["dialled_here"] == true;
  sample.connects = count_at(peer, "connects");
  sample.round_trip_us = count_at(peer, "round_trip_us");
  sample.bytes_sent = count_at(peer, "bytes_sent");
  sample.bytes_received = count_at(peer, "bytes_received");
  sample.messages_sent = count_at(peer, "messages_sent");
  sample.messages_received = count_at(peer, "messages_received");
  sample.calls_open = count_at(peer, "calls_open");
  sample.handlers_running = count_at(peer, "handlers_running");
  sample.unsent_bytes = count_at(peer, "unsent_bytes");
  sample.last_error = text_at(peer, "last_error");
  return sample;
}

// 999, 1.2k, 34M: five places.
std::string short_number(double value) {
  static constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < kUnits.size(); ++unit) {
    value /= 1000;
  }
  return fmt::format("{:.{}f}{}", value, unit == 0 || value >= 99.5 ? 0 : 1, kUnits[unit]);
}

std::string round_trip(std::uint64_t us) {
  if (us == 0) {
    return "-";
  }
  return us < 1000 ? fmt::format("{} us", us) : fmt::format("{:.1f} ms", double(us) / 1000);
}

struct Rates {
  double bytes_sent = 0;
  double bytes_received = 0;
  double messages_sent = 0;
  double messages_received = 0;
};

// Another connection has counted from zero.
Rates rates_of(const GridSample& now, const GridSample& before, double seconds) {
  const bool is_same = now.connects == before.connects;
  const auto rate = [&](std::uint64_t GridSample::* count) {
    const std::uint64_t was = is_same ? before.*count : 0;
    return now.*count >= was ? static_cast<double>(now.*count - was) / seconds : 0.0;
  };
  return {rate(&GridSample::bytes_sent), rate(&GridSample::bytes_received),
          rate(&GridSample::messages_sent), rate(&GridSample::messages_received)};
}

constexpr std::string_view kRow =
    "{:<{}}  {:<9}  {:<4}  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>6}  {:>7}  {:>6}  {:>10}  {}\n";

}  // namespace

Result<GridSamples> parse_samples(std::string_view json) {
  const nlohmann::json answer = nlohmann::json::parse(json, nullptr, false);
  if (!answer.is_object() || !answer.contains("peers") || !answer["peers"].is_array()) {
    return fail(ErrorCode::kMalformed, "the node's answer is not what a node says of its peers");
  }
  GridSamples samples;
  samples.node = text_at(answer, "name");
  samples.clock_us = count_at(answer, "clock_us");
  for (const nlohmann::json& peer : answer["peers"]) {
    if (peer.is_object()) {
      samples.peers.push_back(sample_of(peer));
    }
  }
  std::ranges::sort(samples.peers, {}, &GridSample::peer);
  return samples;
}

std::string GridTable::render(const GridSamples& now) {
  std::size_t width = 4;
  std::size_t connected = 0;
  std::size_t members = 0;
  for (const GridSample& sample : now.peers) {
    width = std::max(width, sample.peer.size());
    connected += sample.state == "connected" ? 1U : 0U;
    members += sample.state != "guest" ? 1U : 0U;
  }
  std::string out = fmt::format("{}: {} of {} peers connected\n", now.node, connected, members);
  out += fmt::format(kRow, "PEER", width, "STATE", "VIA", "RTT", "IN B/s", "OUT B/s", "IN M/s",
                     "OUT M/s", "OPEN", "SERVING", "UNSENT", "RECONNECTS", "LAST ERROR");
  for (const GridSample& sample : now.peers) {
    std::array<std::string, 4> shown = {"-", "-", "-", "-"};
    const auto key = std::pair(now.node, sample.peer);
    const auto before = before_.find(key);
    if (before != before_.end() && now.clock_us > before->second.first) {
      const double seconds = static_cast<double>(now.clock_us - before->second.first) / 1e6;
      const Rates rates = rates_of(sample, before->second.second, seconds);
      shown = {short_number(rates.bytes_received), short_number(rates.bytes_sent),
               short_number(rates.messages_received), short_number(rates.messages_sent)};
    }
    const bool is_up = sample.state == "connected" || sample.state == "guest";
    out += fmt::format(
        kRow, sample.peer, width, sample.state, is_up ? (sample.dialled_here ? "out" : "in") : "-",
        round_trip(sample.round_trip_us), shown[0], shown[1], shown[2], shown[3], sample.calls_open,
        sample.handlers_running, short_number(static_cast<double>(sample.unsent_bytes)),
        sample.connects > 0 ? sample.connects - 1 : 0, sample.last_error);
    before_[key] = {now.clock_us, sample};
  }
  return out;
}

}  // namespace trunkline::app
