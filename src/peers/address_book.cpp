// SPDX-License-Identifier: Apache-2.0
#include "peers/address_book.h"

#include "core/assert.h"

namespace trunkline::peers {

namespace {

using IdleHook = ListHook<IdleAddresses>;
using UntriedHook = ListHook<UntriedAddresses>;

}  // namespace

AddressRecord* AddressBook::find(std::string_view text) {
  const Result<Address> address = parse_address(text);
  if (!address.has_value()) {
    return nullptr;
  }
  const auto found = records_.find(canonical(*address));
  return found == records_.end() ? nullptr : &found->second;
}

Result<AddressRecord*> AddressBook::at(std::string_view text) {
  const Result<Address> address = parse_address(text);
  if (!address.has_value()) {
    return std::unexpected(address.error());
  }
  std::string key = canonical(*address);
  if (const auto found = records_.find(key); found != records_.end()) {
    return &found->second;
  }
  if (idle_count_ >= idle_max_) {
    forget_one();
  }
  const auto made = records_.try_emplace(std::move(key)).first;
  AddressRecord& record = made->second;
  record.text = &made->first;
  record.endpoint = address->endpoint;
  record.host = host_of(*address);
  record.group = group_of(*address, prefixes_);
  idle_.push_back(record);
  ++idle_count_;
  untried_.push_back(record);
  return &record;
}

void AddressBook::use(AddressRecord& record) {
  if (record.uses++ == 0) {
    static_cast<IdleHook&>(record).unlink();
    --idle_count_;
  }
}

void AddressBook::release(AddressRecord& record) {
  TRUNKLINE_ASSERT(record.uses > 0);
  if (--record.uses > 0) {
    return;
  }
  idle_.push_back(record);
  if (++idle_count_ > idle_max_) {
    forget_one();
  }
}

void AddressBook::tried(AddressRecord& record, TimePoint now) {
  record.last_tried = now;
  static_cast<UntriedHook&>(record).unlink();
}

// The one that was left alone longest and was never good, among the first few; else the first.
void AddressBook::forget_one() {
  AddressRecord* victim = idle_.front();
  int looked_at = 0;
  for (AddressRecord* one = victim; one != nullptr && looked_at < kLookedAt;
       one = idle_.after(*one), ++looked_at) {
    if (!one->last_good.has_value()) {
      victim = one;
      break;
    }
  }
  if (victim != nullptr) {
    --idle_count_;
    records_.erase(records_.find(*victim->text));
  }
}

}  // namespace trunkline::peers
