// SPDX-License-Identifier: Apache-2.0
#include <trunkline/peer_types.h>

namespace trunkline {

std::string_view name(PeerState state) {
  switch (state) {
    case PeerState::kPending:
      return "pending";
    case PeerState::kConnected:
      return "connected";
    case PeerState::kDisconnected:
      return "disconnected";
    case PeerState::kFailing:
      return "failing";
    case PeerState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string_view name(PeerKind kind) {
  switch (kind) {
    case PeerKind::kPermanent:
      return "permanent";
    case PeerKind::kOnce:
      return "once";
    case PeerKind::kAutomatic:
      return "automatic";
    case PeerKind::kFeeler:
      return "feeler";
    case PeerKind::kInbound:
      return "inbound";
  }
  return "unknown";
}

std::string_view name(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      return "half-open";
  }
  return "unknown";
}

std::string_view name(PeerEventKind kind) {
  switch (kind) {
    case PeerEventKind::kAdded:
      return "added";
    case PeerEventKind::kState:
      return "state";
    case PeerEventKind::kInboundRefused:
      return "inbound refused";
    case PeerEventKind::kListenersPaused:
      return "listeners paused";
    case PeerEventKind::kListenersResumed:
      return "listeners resumed";
    case PeerEventKind::kEvicted:
      return "evicted";
    case PeerEventKind::kTrimmed:
      return "trimmed";
    case PeerEventKind::kDiscouraged:
      return "discouraged";
    case PeerEventKind::kBanned:
      return "banned";
    case PeerEventKind::kBanEnded:
      return "ban ended";
    case PeerEventKind::kBreaker:
      return "breaker";
    case PeerEventKind::kSlowedDown:
      return "slowed down";
    case PeerEventKind::kSpedUp:
      return "sped up";
  }
  return "unknown";
}

}  // namespace trunkline
