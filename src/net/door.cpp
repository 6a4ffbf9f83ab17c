// SPDX-License-Identifier: Apache-2.0
#include "net/door.h"

#include "net/clock.h"

#include <utility>

namespace trunkline::net {

Door::Door(boost::asio::io_context& io, const LimitOptions& limits, const MemoryBudget& memory,
           std::uint64_t seed, Handlers handlers)
    : memory_(memory),
      unsent_bytes_max_(limits.unsent_bytes_max),
      handlers_(std::move(handlers)),
      random_(seed),
      admission_(limits),
      queue_timer_(io),
      refusals_(io, [this] { listener_.descriptor_closed(); }),
      listener_(io, {.accepted = [this](int descriptor,
                                        const AddressKey& peer) { accepted(descriptor, peer); },
                     .excess =
                         [this](int descriptor, const AddressKey& peer) {
                           turn_away(descriptor, peer, Refusal::kDescriptors);
                         },
                     .log = handlers_.log}) {
  if (limits.handshakes_per_second > 0) {
    queue_.emplace(limits.handshakes_per_second, limits.handshake_wait_max);
  }
}

Result<std::uint16_t> Door::open(const std::string& address, std::uint16_t port) {
  return listener_.open(address, port, unsent_bytes_max_);
}

void Door::close() {
  listener_.close();
  refusals_.close();
  queue_timer_.cancel();
}

void Door::accepted(int descriptor, const AddressKey& peer) {
  const std::expected<Place, Refusal> place = admission_.arrive(peer, memory_.exhausted());
  if (place.has_value()) {
    handlers_.adopt(descriptor, *place);
  } else {
    turn_away(descriptor, peer, place.error());
  }
}

void Door::turn_away(int descriptor, const AddressKey& peer, Refusal refusal) {
  note_refusal(refusal, peer);
  refusals_.turn_away(descriptor, serialize(refusal_response(refusal, random_),
                                            {.keep_alive = false, .with_body = true}));
}

void Door::note_refusal(Refusal refusal, const AddressKey& peer) {
  if (const auto line = admission_.refused(refusal, peer, monotonic_now())) {
    handlers_.log(*line);
  }
}

void Door::handshake(const HandshakeAsk& ask) {
  std::optional<Refusal> refused = ask.place.no_websocket;
  if (!refused.has_value() && queue_.has_value()) {
    switch (queue_->arrive(ask, monotonic_now())) {
      case HandshakeQueue<HandshakeAsk>::Verdict::kGo:
        break;
      case HandshakeQueue<HandshakeAsk>::Verdict::kWait:
        ++delayed_;
        serve_queue();
        return;
      case HandshakeQueue<HandshakeAsk>::Verdict::kRefused:
        refused = Refusal::kHandshakeRate;
        break;
    }
  }
  if (refused.has_value()) {
    note_refusal(*refused, ask.place.address);
  }
  handlers_.answer(ask, refused);
}

void Door::handshake_unused() {
  if (queue_.has_value()) {
    queue_->give_back();
    serve_queue();
  }
}

void Door::serve_queue() {
  const TimePoint now = monotonic_now();
  while (const auto ask = queue_->next(now)) {
    handlers_.answer(*ask, std::nullopt);
  }
  const auto wakeup = queue_->next_wakeup(now);
  if (!wakeup.has_value()) {
    return;
  }
  // Replaces the wait before it, if there is one.
  queue_timer_.expires_at(std::chrono::steady_clock::time_point(wakeup->time_since_epoch()));
  queue_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      serve_queue();
    }
  });
}

AdmissionStats Door::stats() const {
  AdmissionStats stats = admission_.stats();
  stats.handshakes_waiting = queue_.has_value() ? queue_->size() : 0;
  stats.handshakes_delayed = delayed_;
  return stats;
}

}  // namespace trunkline::net
