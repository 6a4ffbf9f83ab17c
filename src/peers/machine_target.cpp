// SPDX-License-Identifier: Apache-2.0
//
// The target: so many automatic peers are kept, from those that were good before a restart, from
// next_address(), from the address book. And the feelers, which keep the book fresh.
#include "core/probe.h"
#include "peers/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::peers {

namespace {

// From half of it to all of it.
Duration jittered(Duration whole, Random& random) {
  return whole / 2 + Duration(static_cast<Duration::rep>(
                         random.below(static_cast<std::uint64_t>(whole.count() / 2) + 1)));
}

}  // namespace

void Machine::refill() {
  const std::size_t target =
      options_.target_outbound + (TRUNKLINE_MUTANT("target-overshot") ? 1 : 0);
  while (of_kind(PeerKind::kAutomatic) < target) {
    if (!anchors_.empty()) {
      const std::string text = std::move(anchors_.back());
      anchors_.pop_back();
      if (AddressRecord* record = book_.find(text); record != nullptr && is_fit(*record)) {
        TRUNKLINE_SOMETIMES("an address from before the restart");
        add_automatic(*record);
      }
      continue;
    }
    if (is_asking_ || ask_timer_.is_armed()) {
      return;
    }
    if (unfit_ >= options_.addresses_per_round_max) {
      pause_asking();
      return;
    }
    is_asking_ = true;
    ++metrics_.addresses_asked;
    emit(NeedAddress{});
    return;
  }
}

Result<PeerId> Machine::on(AddressOffered& offered) {
  if (!is_asking_) {
    return fail(ErrorCode::kClosed, "nobody asked for an address");
  }
  is_asking_ = false;
  if (!is_running() || of_kind(PeerKind::kAutomatic) >= options_.target_outbound) {
    return PeerId{};
  }
  if (!offered.address.has_value()) {
    const auto fit = [this](const AddressRecord& record) { return is_fit(record); };
    AddressRecord* known = book_.untried(fit);
    known = known != nullptr ? known : book_.any(random_, fit);
    if (known != nullptr) {
      add_automatic(*known);
    } else {
      pause_asking();
    }
    return PeerId{};
  }
  const Result<AddressRecord*> found = book_.at(*offered.address);
  if (!found.has_value() || !is_fit(**found)) {
    ++unfit_;
    ++metrics_.addresses_unfit;
    return found.has_value() ? fail(ErrorCode::kUnavailable, "the address is not fit now")
                             : std::unexpected(found.error());
  }
  add_automatic(**found);
  return PeerId{last_id_};
}

void Machine::add_automatic(AddressRecord& record) {
  unfit_ = 0;
  make_ready(add(PeerKind::kAutomatic, record, record.group));
}

// A source that has nothing to offer is asked again after a while, and when it tells of something.
void Machine::pause_asking() {
  TRUNKLINE_SOMETIMES("no address is fit");
  unfit_ = 0;
  wheel_.arm(ask_timer_, now_ + jittered(options_.retry_start, random_));
}

bool Machine::has_room(NetKey key) const {
  if (options_.outbound_per_group == 0 || key.family == NetKey::Family::kLoopback) {
    return true;
  }
  const auto found = groups_.find(key);
  return found == groups_.end() || found->second.outbound < options_.outbound_per_group ||
         TRUNKLINE_MUTANT("group-overfull");
}

// Whether the target may choose it. When half a round was unfit, one that is merely discouraged is.
bool Machine::is_fit(const AddressRecord& record) const {
  const Standing standing = reputation_.standing(record.host, now_);
  return (record.uses == 0 || TRUNKLINE_MUTANT("address-twice")) && record.not_before <= now_ &&
         !record.breaker.is_probing() && record.breaker.next_dial(now_) <= now_ &&
         standing != Standing::kBanned &&
         (standing == Standing::kGood || unfit_ >= options_.addresses_per_round_max / 2) &&
         has_room(record.group);
}

Result<PeerId> Machine::on(Learn& learn) {
  for (const std::string& address : learn.addresses) {
    if (const auto found = book_.at(address); !found.has_value()) {
      return std::unexpected(found.error());
    }
  }
  wheel_.disarm(ask_timer_);
  return PeerId{};
}

void Machine::arm_feeler() {
  if (options_.feeler_interval.count() > 0) {
    const Duration interval = options_.feeler_interval;
    wheel_.arm(feeler_timer_, now_ + jittered(interval + interval / 2, random_));
  }
}

// At most one at a time, and none while the target takes untried addresses itself.
void Machine::feel() {
  arm_feeler();
  if (of_kind(PeerKind::kFeeler) > 0 || of_kind(PeerKind::kAutomatic) < options_.target_outbound) {
    return;
  }
  AddressRecord* untried = book_.untried([this](const AddressRecord& record) {
    return reputation_.standing(record.host, now_) == Standing::kGood;
  });
  if (untried != nullptr) {
    TRUNKLINE_SOMETIMES("a feeler");
    ++metrics_.feelers;
    make_ready(add(PeerKind::kFeeler, *untried, untried->group));
  }
}

void Machine::give_way(const AddressRecord& record) {
  if (record.uses == 0 || of_kind(PeerKind::kFeeler) == 0) {
    return;
  }
  for (Peer* peer = all_.front(); peer != nullptr; peer = all_.after(*peer)) {
    if (peer->kind == PeerKind::kFeeler) {
      if (peer->record == &record) {
        TRUNKLINE_SOMETIMES("a feeler gives way");
        cancel(*peer, "a request for its address");
      }
      return;  // there is only one
    }
  }
}

}  // namespace trunkline::peers
