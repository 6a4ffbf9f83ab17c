// SPDX-License-Identifier: Apache-2.0
//
// What outlives a restart.
#include "peers/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace trunkline::peers {

namespace {

// Of the addresses that were good, so many are tried before next_address() is asked: after a long
// time most may have gone.
constexpr std::size_t kAnchorsMax = 32;

std::chrono::seconds ago(TimePoint then, TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(std::max(now - then, Duration{0}));
}

std::int64_t seconds_of(WallTime wall) {
  return std::chrono::floor<std::chrono::seconds>(wall).time_since_epoch().count();
}

// Worst first: those connected at the time, then the latest good ones, come last.
bool is_worse(const SavedAddress& a, const SavedAddress& b) {
  constexpr auto kNever = std::chrono::seconds::max();
  return std::tuple(a.is_up, -a.good_ago.value_or(kNever).count(), b.address) <
         std::tuple(b.is_up, -b.good_ago.value_or(kNever).count(), a.address);
}

}  // namespace

std::string Machine::save(Now now) const {
  SavedBook book;
  book.at = seconds_of(now.wall);
  book_.for_each([&](const AddressRecord& record) {
    SavedAddress one{.address = *record.text, .failures = record.failures};
    if (record.last_tried.has_value()) {
      one.tried_ago = ago(*record.last_tried, now.monotonic);
    }
    if (record.last_good.has_value()) {
      one.good_ago = ago(*record.last_good, now.monotonic);
    }
    book.addresses.push_back(std::move(one));
  });
  std::ranges::sort(book.addresses, {}, &SavedAddress::address);
  for (const auto& [id, peer] : peers_) {
    if (peer.state != PeerState::kConnected || peer.record == nullptr) {
      continue;
    }
    const auto place =
        std::ranges::lower_bound(book.addresses, *peer.record->text, {}, &SavedAddress::address);
    place->is_up = true;
    if (now.monotonic - peer.since >= options_.good_after) {
      place->good_ago = std::chrono::seconds{0};
      place->failures = 0;
    }
  }
  for (const Reputation::Saved& one : reputation_.saved(now.monotonic)) {
    book.hosts.push_back(
        {one.name, one.lasting, std::chrono::ceil<std::chrono::seconds>(one.ban_left)});
  }
  return to_text(book);
}

Result<void> Machine::restore(std::string_view text, Now now) {
  if (phase_ != Phase::kNew) {
    return fail(ErrorCode::kClosed, "what was saved is taken before the start only");
  }
  Result<SavedBook> parsed = parse_book(text);
  if (!parsed.has_value()) {
    return std::unexpected(parsed.error());
  }
  // A clock that was set back counts as no time at all.
  const std::chrono::seconds lain{
      std::clamp<std::int64_t>(seconds_of(now.wall) - parsed->at, 0, 3'155'760'000)};
  std::ranges::sort(parsed->addresses, is_worse);
  for (const SavedAddress& one : parsed->addresses) {
    const Result<AddressRecord*> found = book_.at(one.address);
    if (!found.has_value()) {
      continue;  // parse_book() has looked at it
    }
    AddressRecord& record = **found;
    record.failures = one.failures;
    if (one.tried_ago.has_value()) {
      book_.tried(record, now.monotonic - *one.tried_ago - lain);
    }
    if (one.good_ago.has_value()) {
      record.last_good = now.monotonic - *one.good_ago - lain;
    }
    if (one.is_up || one.good_ago.has_value()) {
      anchors_.push_back(one.address);
    }
  }
  const std::size_t extra = anchors_.size() - std::min(anchors_.size(), kAnchorsMax);
  anchors_.erase(anchors_.begin(), anchors_.begin() + static_cast<std::ptrdiff_t>(extra));
  for (const SavedHost& one : parsed->hosts) {
    const Result<NetKey> host = key_of_host(one.host);
    if (host.has_value()) {
      reputation_.restore(*host, {one.host, one.lasting, one.ban_left - lain}, now.monotonic);
    }
  }
  return {};
}

}  // namespace trunkline::peers
