// SPDX-License-Identifier: Apache-2.0
#include "server/base64.h"
#include "server/json_view.h"
#include "server/proxy_body.h"
#include "session/protocol.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace trunkline::server {

namespace {

using nlohmann::json;

// Names of members that a log line may hold.
constexpr std::size_t kIgnoredMax = 8;
constexpr std::size_t kNameBytesMax = 64;

// An object's members, taken one after another; the first mistake is kept, what is left is counted
// as ignored. null is the same as absent.
class Members {
 public:
  Members(JsonMembers members, std::string where)
      : members_(std::move(members)), where_(std::move(where)) {}

  [[nodiscard]] std::string text(std::string_view name) {
    const auto raw = take(name);
    const json value = raw.has_value() ? parsed(*raw) : json("");
    if (!value.is_string()) {
      mistake(name, "is not a string");
      return {};
    }
    return value.get<std::string>();
  }

  [[nodiscard]] bool flag(std::string_view name) {
    const auto raw = take(name);
    if (raw.has_value() && *raw != "true" && *raw != "false") {
      mistake(name, "is not true or false");
    }
    return raw == "true";
  }

  [[nodiscard]] std::int64_t number(std::string_view name, std::int64_t max) {
    const auto raw = take(name);
    const json value = raw.has_value() ? parsed(*raw) : json(0);
    if (!value.is_number_unsigned() && !value.is_number_integer()) {
      mistake(name, "is not an integer");
      return 0;
    }
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(max)
                          : value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() <= max;
    if (!fits) {
      mistake(name, fmt::format("is not from 0 to {}", max));
      return 0;
    }
    return value.get<std::int64_t>();
  }

  // JSON as it stands under `name`, or in base64 under "b64" and that name; empty: none.
  [[nodiscard]] std::string json_value(const std::string& name) {
    auto plain = take(name);
    const std::string encoded = text("b64" + name);
    if (encoded.empty()) {
      return std::move(plain).value_or(std::string{});
    }
    const auto bytes = decode_base64(encoded);
    auto checked = bytes.has_value() ? checked_json(*bytes) : std::nullopt;
    if (!checked.has_value()) {
      mistake("b64" + name, "is not JSON in base64");
      return {};
    }
    return std::move(*checked);
  }

  [[nodiscard]] std::optional<Members> object(std::string_view name) {
    const auto raw = take(name);
    if (!raw.has_value()) {
      return std::nullopt;
    }
    Result<JsonMembers> members = json_members(*raw);
    if (!members.has_value()) {
      mistake(name, "is not an object");
      return std::nullopt;
    }
    return Members(std::move(*members), fmt::format("{}.{}", where_, name));
  }

  [[nodiscard]] std::vector<std::string> texts(std::string_view name) {
    const auto raw = take(name);
    const json list = raw.has_value() ? parsed(*raw) : json::array();
    std::vector<std::string> result;
    for (const json& element : list) {
      if (element.is_string()) {
        result.push_back(element.get<std::string>());
      }
    }
    if (!list.is_array() || result.size() != list.size()) {
      mistake(name, "is not a list of strings");
    }
    return result;
  }

  // All that is left, by name.
  [[nodiscard]] JsonMembers take_rest() { return std::exchange(members_, {}); }

  void mistake(std::string_view name, std::string_view what) {
    if (!mistake_.has_value()) {
      mistake_ = fmt::format("{}.{} {}", where_, name, what);
    }
  }

  // What is wrong in an object inside of this one is wrong in this one.
  void adopt(const Members& inner, std::vector<std::string>& ignored) {
    if (inner.mistake_.has_value() && !mistake_.has_value()) {
      mistake_ = inner.mistake_;
    }
    inner.add_ignored(ignored);
  }

  void add_ignored(std::vector<std::string>& out) const {
    for (const auto& [name, raw] : members_) {
      if (out.size() < kIgnoredMax && raw != "null") {
        out.push_back(fmt::format("{}.{}", where_, name.substr(0, kNameBytesMax)));
      }
    }
  }

  [[nodiscard]] const std::optional<std::string>& first_mistake() const { return mistake_; }

 private:
  // Well-formed, but a number may be beyond what the parser takes, which is a mistake then.
  static json parsed(const std::string& raw) { return json::parse(raw, nullptr, false); }

  std::optional<std::string> take(std::string_view name) {
    const auto found = std::ranges::find(members_, name, &JsonMembers::value_type::first);
    if (found == members_.end()) {
      return std::nullopt;
    }
    std::string raw = std::move(found->second);
    members_.erase(found);
    return raw == "null" ? std::nullopt : std::optional(std::move(raw));
  }

  JsonMembers members_;
  std::string where_;
  std::optional<std::string> mistake_;
};

std::unexpected<Error> malformed(std::string what) {
  return fail(ErrorCode::kMalformed, std::move(what));
}

std::optional<session::Refusal> read_refusal(Members& body) {
  std::vector<std::string> unused;
  if (auto end = body.object("disconnect")) {
    session::Refusal refusal;
    refusal.disconnects = true;
    refusal.code = static_cast<std::uint32_t>(end->number("code", 4999));
    refusal.message = end->text("reason");
    if (refusal.code < 3000) {
      end->mistake("code", "is not from 3000 to 4999");
    }
    body.adopt(*end, unused);
    return refusal;
  }
  if (auto error = body.object("error")) {
    session::Refusal refusal;
    refusal.code = static_cast<std::uint32_t>(
        error->number("code", std::numeric_limits<std::uint32_t>::max()));
    refusal.message = error->text("message");
    refusal.temporary = error->flag("temporary");
    if (refusal.code == 0) {
      error->mistake("code", "is missing");
    }
    body.adopt(*error, unused);
    return refusal;
  }
  return std::nullopt;
}

enum class ResultIs : std::uint8_t { kNeeded, kOptional };

// Reads a body: what the backend has against it, or the grant that `read` makes of its result.
template <class Grant, class Read>
Result<ProxyAnswer<Grant>> decode(std::string_view text, ResultIs result_is, Read read) {
  Result<JsonMembers> members = json_members(text);
  if (!members.has_value()) {
    return malformed("the body is not a JSON object");
  }
  Members body(std::move(*members), "body");
  ProxyAnswer<Grant> answer;
  if (auto refusal = read_refusal(body)) {
    answer.decision = std::unexpected(std::move(*refusal));
  } else if (auto result = body.object("result")) {
    answer.decision = read(*result, answer.ignored);
    body.adopt(*result, answer.ignored);
  } else if (result_is == ResultIs::kNeeded) {
    body.mistake("result", "is missing");
  }
  if (body.first_mistake().has_value()) {
    return malformed(*body.first_mistake());
  }
  return answer;
}

// Unix seconds; 0: never. Nothing when that has passed already.
std::expected<std::optional<WallTime>, session::Refusal> read_expiry(
    Members& result, WallTime now, const session::Disconnect& when_passed) {
  // Milliseconds of it still fit.
  static constexpr std::int64_t kFar = 9'000'000'000'000;
  const std::int64_t seconds = result.number("expire_at", kFar);
  if (seconds == 0) {
    return std::nullopt;
  }
  const WallTime at{std::chrono::seconds(seconds)};
  if (at <= now) {
    return std::unexpected(
        session::Refusal{when_passed.code, std::string(when_passed.reason), false, true});
  }
  return at;
}

// {"channel":{"info":…,"data":…},…}
void read_subs(Members& result, std::vector<session::ServerChannel>& out,
               std::vector<std::string>& ignored) {
  auto subs = result.object("subs");
  if (!subs.has_value()) {
    return;
  }
  for (auto& [channel, raw] : subs->take_rest()) {
    session::ServerChannel& made = out.emplace_back();
    made.channel = channel;
    if (raw == "null") {
      continue;
    }
    Result<JsonMembers> members = json_members(raw);
    if (!members.has_value()) {
      result.mistake("subs", "has an element that is not an object");
      return;
    }
    Members options(std::move(*members), "result.subs[]");
    made.info = options.json_value("info");
    made.data = options.json_value("data");
    result.adopt(options, ignored);
  }
}

}  // namespace

Result<ProxyAnswer<session::ConnectGrant>> decode_connect(std::string_view body, WallTime now) {
  return decode<session::ConnectGrant>(
      body, ResultIs::kNeeded,
      [now](Members& result, std::vector<std::string>& ignored)
          -> std::expected<session::ConnectGrant, session::Refusal> {
        session::ConnectGrant grant;
        grant.user = result.text("user");
        grant.info = result.json_value("info");
        grant.data = result.json_value("data");
        grant.meta = result.json_value("meta");
        read_subs(result, grant.channels, ignored);
        for (std::string& channel : result.texts("channels")) {
          grant.channels.emplace_back().channel = std::move(channel);
        }
        auto expire_at = read_expiry(result, now, session::kDisconnectExpired);
        if (!expire_at.has_value()) {
          return std::unexpected(std::move(expire_at.error()));
        }
        grant.expire_at = *expire_at;
        return grant;
      });
}

Result<ProxyAnswer<session::RefreshGrant>> decode_refresh(std::string_view body, WallTime now) {
  return decode<session::RefreshGrant>(
      body, ResultIs::kNeeded,
      [now](Members& result, std::vector<std::string>& /*ignored*/)
          -> std::expected<session::RefreshGrant, session::Refusal> {
        const bool expired = result.flag("expired");
        auto expire_at = read_expiry(result, now, session::kDisconnectExpired);
        std::string info = result.json_value("info");
        if (expired || !expire_at.has_value()) {
          return std::unexpected(session::Refusal{});
        }
        return session::RefreshGrant{*expire_at, std::move(info)};
      });
}

Result<ProxyAnswer<session::SubscribeGrant>> decode_subscribe(std::string_view body, WallTime now) {
  return decode<session::SubscribeGrant>(
      body, ResultIs::kNeeded,
      [now](Members& result, std::vector<std::string>& /*ignored*/)
          -> std::expected<session::SubscribeGrant, session::Refusal> {
        session::SubscribeGrant grant;
        grant.info = result.json_value("info");
        grant.data = result.json_value("data");
        const auto expire_at = read_expiry(result, now, session::kDisconnectExpired);
        if (!expire_at.has_value()) {
          return std::unexpected(session::Refusal{session::kErrorExpired.code,
                                                  std::string(session::kErrorExpired.message)});
        }
        grant.expire_at = *expire_at;
        return grant;
      });
}

Result<ProxyAnswer<session::PublishGrant>> decode_publish(std::string_view body) {
  return decode<session::PublishGrant>(
      body, ResultIs::kNeeded,
      [](Members& result, std::vector<std::string>& /*ignored*/)
          -> std::expected<session::PublishGrant, session::Refusal> {
        session::PublishGrant grant;
        grant.data = result.json_value("data");
        grant.skip_history = result.flag("skip_history");
        grant.idempotency_key = result.text("idempotency_key");
        if (auto tags = result.object("tags")) {
          for (auto& [name, raw] : tags->take_rest()) {
            const json value = json::parse(raw, nullptr, false);
            if (!value.is_string()) {
              result.mistake("tags", "is not an object of strings");
              break;
            }
            grant.tags.emplace_back(name, value.get<std::string>());
          }
        }
        return grant;
      });
}

Result<ProxyAnswer<session::SubRefreshGrant>> decode_sub_refresh(std::string_view body,
                                                                 WallTime now) {
  return decode<session::SubRefreshGrant>(
      body, ResultIs::kNeeded,
      [now](Members& result, std::vector<std::string>& /*ignored*/)
          -> std::expected<session::SubRefreshGrant, session::Refusal> {
        const bool expired = result.flag("expired");
        auto expire_at = read_expiry(result, now, session::kDisconnectSubscriptionExpired);
        std::string info = result.json_value("info");
        if (expired || !expire_at.has_value()) {
          return std::unexpected(session::Refusal{});
        }
        return session::SubRefreshGrant{*expire_at, std::move(info)};
      });
}

Result<ProxyAnswer<session::RpcGrant>> decode_rpc(std::string_view body) {
  return decode<session::RpcGrant>(body, ResultIs::kOptional,
                                   [](Members& result, std::vector<std::string>& /*ignored*/)
                                       -> std::expected<session::RpcGrant, session::Refusal> {
                                     return session::RpcGrant{result.json_value("data"), {}};
                                   });
}

}  // namespace trunkline::server
