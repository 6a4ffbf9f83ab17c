// SPDX-License-Identifier: Apache-2.0
#include "hub/subscription.h"

#include "core/assert.h"
#include "core/probe.h"
#include "hub/feeds.h"

#include <utility>

namespace trunkline::hub {

Subscription::Subscription(Feeds& feeds, Feed& feed, Sink& sink, std::string client)
    : feeds_(feeds), feed_(feed), sink_(sink), client_(std::move(client)) {
  feeds_.add(feed_, *this);
}

Subscription::~Subscription() {
  feeds_.remove(*this);
}

void Subscription::resume_at(Offset next) {
  next_ = next;
  live_ = true;
  note_served();
  if (next_ <= window().head()) {
    sink_.on_ready(*this);
  }
}

void Subscription::note_served() {
  if (next_ > feed_.served_.next()) {
    feed_.served_ = Offset{next_.value - 1};
    if (feed_.asked_.has_value()) {
      feeds_.note_served(feed_);
    }
  }
}

void Subscription::want_compressed() {
  if (feeds_.compressor_ != nullptr && !wants_compressed_) {
    wants_compressed_ = true;
    feeds_.want_compressed(feed_);
  }
}

const std::string& Subscription::channel() const {
  return feed_.channel();
}

const std::string& Subscription::epoch() const {
  return feed_.epoch();
}

const replay::Window& Subscription::window() const {
  return feed_.window();
}

bool Subscription::check_lost() {
  if (window().holds(next_)) {
    return false;
  }
  if (TRUNKLINE_MUTANT("lost-cursor-skips")) {
    next_ = window().first();
    return false;
  }
  live_ = false;
  feeds_.lost_.push_back(*this);
  return true;
}

std::string_view Subscription::peek(std::size_t bytes_max) {
  if (!live_ || check_lost()) {
    return {};
  }
  peeked_compressed_ = false;
  if (wants_compressed_) {
    const replay::Window& compressed = feed_.compressed_->window();
    if (next_ >= compressed.first() && next_ <= compressed.head()) {
      TRUNKLINE_SOMETIMES("compressed frames");
      peeked_compressed_ = true;
      return compressed.run(next_, bytes_max).bytes;
    }
  }
  return window().run(next_, bytes_max).bytes;
}

outbox::Source::Taken Subscription::taken(std::size_t bytes) {
  const replay::Window& source = peeked_compressed_ ? feed_.compressed_->window() : window();
  const replay::Settled settled = source.settle(next_, bytes);
  TRUNKLINE_ASSERT(settled.next >= next_);
  feeds_.stats_.deliveries += settled.next.value - next_.value;
  feeds_.stats_.delivered_bytes += bytes + settled.remainder.size();
  next_ = TRUNKLINE_MUTANT("cursor-stays-after-write") ? next_ : settled.next;
  note_served();
  return {.rest = settled.remainder, .more = next_ <= window().head()};
}

std::string_view Subscription::read() {
  if (!live_ || check_lost() || next_ > window().head()) {
    return {};
  }
  const std::string_view body = window().body(next_);
  next_ = next_.next();
  note_served();
  ++feeds_.stats_.deliveries;
  feeds_.stats_.delivered_bytes += body.size();
  return body;
}

}  // namespace trunkline::hub
