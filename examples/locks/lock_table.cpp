// SPDX-License-Identifier: Apache-2.0
#include "locks/lock_table.h"

#include <algorithm>

namespace locks {

LockReply LockTable::acquire(const LockRequest& request, TimePoint now) {
  const std::chrono::milliseconds lease(request.lease_ms);
  if (request.name.empty() || request.name.size() > kNameBytesMax || lease.count() == 0 ||
      lease > lease_max_) {
    return {Verdict::kRefused};
  }
  if (now < grants_from()) {
    return {Verdict::kTooEarly};
  }
  sweep(now);
  const auto found = held_.find(request.name);
  if (found != held_.end() && found->second.expires > now) {
    Holding& holding = found->second;
    if (holding.owner != request.owner) {
      return {Verdict::kHeld};
    }
    // One that was late must not shorten what a newer one has got.
    holding.expires = std::max(holding.expires, now + lease);
    return {Verdict::kKept};
  }
  if (found == held_.end() && held_.size() >= locks_max_) {
    return {Verdict::kRefused};
  }
  held_[request.name] = {request.owner, now + lease};
  return {Verdict::kGranted};
}

LockReply LockTable::refresh(const LockRequest& request, TimePoint now) {
  return acquire(request, now);
}

LockReply LockTable::release(const LockRequest& request, TimePoint now) {
  const auto found = held_.find(request.name);
  if (found == held_.end() || found->second.owner != request.owner) {
    return {Verdict::kReleased};
  }
  held_.erase(found);
  sweep(now);
  return {Verdict::kReleased};
}

// What has run out, once a lease.
void LockTable::sweep(TimePoint now) {
  if (now >= sweep_at_) {
    sweep_at_ = now + lease_max_;
    std::erase_if(held_, [now](const auto& each) { return each.second.expires <= now; });
  }
}

}  // namespace locks
