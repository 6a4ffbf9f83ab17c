// SPDX-License-Identifier: Apache-2.0
#include "net/admission.h"

#include "core/assert.h"

#include <fmt/format.h>

namespace trunkline::net {

namespace {

struct RefusalTexts {
  std::string_view name;
  unsigned status;
  std::uint64_t retry_after_s;  // at least; up to twice as much
  std::string_view to_client;
  std::string_view to_operator;
};

constexpr std::array<RefusalTexts, kRefusals> kTexts = {{
    {"connection_limit", 503, 5, "this server has as many connections as it may have",
     "client.connection_limit is reached"},
    {"address_limit", 429, 10, "too many connections from this address",
     "client.rate_limit.ip_connect.max_concurrent_per_ip is reached"},
    {"handshake_rate", 503, 5, "too many clients connect at this moment",
     "client.connection_rate_limit is exceeded by more than can wait"},
    {"memory", 503, 10, "this server is short of memory", "trunkline.memory_limit is reached"},
    {"descriptors", 503, 5, "this server can open no more connections",
     "the process may open no more files (ulimit -n, LimitNOFILE); set client.connection_limit "
     "below what it may"},
}};

const RefusalTexts& texts(Refusal refusal) {
  return kTexts[static_cast<std::size_t>(refusal)];
}

}  // namespace

std::string_view name(Refusal refusal) {
  return texts(refusal).name;
}

HttpResponse refusal_response(Refusal refusal, Random& random) {
  const RefusalTexts& text = texts(refusal);
  const std::uint64_t seconds = text.retry_after_s + random.below(text.retry_after_s + 1);
  return {.status = text.status,
          .content_type = "text/plain",
          .body = fmt::format("{}; try again in {} s\n", text.to_client, seconds),
          .fields = {{"Retry-After", std::to_string(seconds)}}};
}

std::expected<Place, Refusal> Admission::arrive(const AddressKey& address, bool memory_exhausted) {
  const auto found = by_address_.find(address);
  const std::size_t from_there = found == by_address_.end() ? 0 : found->second;
  if (options_.connections_per_address_max > 0 &&
      from_there >= options_.connections_per_address_max) {
    return std::unexpected(Refusal::kAddressLimit);
  }
  Place place{.address = address, .is_spare = false, .no_websocket = std::nullopt};
  if (options_.connections_max > 0 && stats_.connections - spare_ >= options_.connections_max) {
    place.no_websocket = Refusal::kConnectionLimit;
  } else if (memory_exhausted) {
    place.no_websocket = Refusal::kMemory;
  }
  if (place.no_websocket.has_value()) {
    if (spare_ >= kSpareMax) {
      return std::unexpected(*place.no_websocket);
    }
    place.is_spare = true;
    ++spare_;
  }
  ++stats_.connections;
  ++by_address_[address];
  stats_.addresses = by_address_.size();
  return place;
}

void Admission::leave(const Place& place) {
  const auto found = by_address_.find(place.address);
  TRUNKLINE_ASSERT(found != by_address_.end() && stats_.connections > 0);
  if (--found->second == 0) {
    by_address_.erase(found);
  }
  --stats_.connections;
  spare_ -= place.is_spare ? 1 : 0;
  stats_.addresses = by_address_.size();
}

std::optional<std::string> Admission::refused(Refusal refusal, const AddressKey& address,
                                              TimePoint now) {
  const auto index = static_cast<std::size_t>(refusal);
  ++stats_.refused[index];
  const std::optional<std::uint64_t> held_back = throttles_[index].pass(now);
  if (!held_back.has_value()) {
    return std::nullopt;
  }
  return fmt::format(
      "a connection from {} was refused: {}{}", to_string(address), texts(refusal).to_operator,
      *held_back > 0 ? fmt::format(" ({} more since the last line)", *held_back) : std::string{});
}

}  // namespace trunkline::net
