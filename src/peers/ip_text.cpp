// SPDX-License-Identifier: Apache-2.0
#include "peers/ip_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <span>

namespace trunkline::peers {

namespace {

constexpr std::size_t kV6Groups = 8;

template <class Number>
std::optional<Number> number(std::string_view text, std::size_t digits_max, int base) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || text.size() > digits_max || error != std::errc{} ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// The groups of one side of "::", as far as `out` has room; nothing when one of them is none. An
// IPv4 address may only be the last of all.
std::optional<std::size_t> read_groups(std::string_view text, std::span<std::uint16_t> out,
                                       bool is_last) {
  std::size_t count = 0;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    if (const auto v4 = part.contains('.') ? parse_v4(part) : std::nullopt; v4.has_value()) {
      if (!is_last || colon != std::string_view::npos || count + 2 > out.size()) {
        return std::nullopt;
      }
      out[count++] = static_cast<std::uint16_t>(v4->bytes[0] << 8U | v4->bytes[1]);
      out[count++] = static_cast<std::uint16_t>(v4->bytes[2] << 8U | v4->bytes[3]);
      return count;
    }
    const auto group = number<std::uint16_t>(part, 4, 16);
    if (!group.has_value() || count == out.size()) {
      return std::nullopt;
    }
    out[count++] = *group;
    if (colon == std::string_view::npos) {
      return count;
    }
    text.remove_prefix(colon + 1);
    if (text.empty()) {
      return std::nullopt;  // a colon with nothing behind it
    }
  }
  return count;
}

}  // namespace

std::optional<PeerEndpoint> parse_v4(std::string_view text) {
  PeerEndpoint endpoint;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) {
      return std::nullopt;
    }
    const std::string_view part = text.substr(0, dot);
    const auto value = number<std::uint8_t>(part, 3, 10);
    if (!value.has_value() || (part.size() > 1 && part.front() == '0')) {
      return std::nullopt;
    }
    endpoint.bytes[i] = *value;
    text.remove_prefix(i == 3 ? text.size() : dot + 1);
  }
  return endpoint;
}

std::optional<PeerEndpoint> parse_v6(std::string_view text) {
  std::array<std::uint16_t, kV6Groups> groups{};
  const std::size_t gap = text.find("::");
  const std::optional<std::size_t> before =
      read_groups(text.substr(0, gap), groups, gap == std::string_view::npos);
  if (!before.has_value() || (gap == std::string_view::npos && *before != kV6Groups)) {
    return std::nullopt;
  }
  if (gap != std::string_view::npos) {
    std::array<std::uint16_t, kV6Groups> tail{};
    const std::optional<std::size_t> after = read_groups(text.substr(gap + 2), tail, true);
    if (!after.has_value() || *before + *after >= kV6Groups) {
      return std::nullopt;
    }
    std::copy_n(tail.begin(), *after, groups.end() - static_cast<std::ptrdiff_t>(*after));
  }
  PeerEndpoint endpoint;
  endpoint.is_v6 = true;
  for (std::size_t i = 0; i < kV6Groups; ++i) {
    endpoint.bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8U);
    endpoint.bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i] & 0xffU);
  }
  return endpoint;
}

std::string text_of_v6(const PeerEndpoint& endpoint) {
  std::array<unsigned, kV6Groups> groups{};
  for (std::size_t i = 0; i < kV6Groups; ++i) {
    groups[i] = static_cast<unsigned>(endpoint.bytes[2 * i] << 8U | endpoint.bytes[2 * i + 1]);
  }
  std::size_t longest = 0;
  std::size_t longest_at = 0;
  for (std::size_t at = 0; at < kV6Groups;) {
    const auto end = std::find_if(groups.begin() + static_cast<std::ptrdiff_t>(at), groups.end(),
                                  [](unsigned group) { return group != 0; });
    const auto run = static_cast<std::size_t>(end - groups.begin()) - at;
    if (run > longest) {
      longest = run;
      longest_at = at;
    }
    at += run + 1;
  }
  const bool has_gap = longest > 1;  // a single zero group is written
  std::string text;
  for (std::size_t i = 0; i < kV6Groups; ++i) {
    if (has_gap && i == longest_at) {
      text += "::";
      i += longest - 1;
      continue;
    }
    text += text.empty() || text.ends_with(':') ? "" : ":";
    text += fmt::format("{:x}", groups[i]);
  }
  return text;
}

}  // namespace trunkline::peers
