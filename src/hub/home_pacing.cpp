// SPDX-License-Identifier: Apache-2.0
//
// Publishers that are faster than every subscriber: hub/pacing.h says when they wait.
#include "core/probe.h"
#include "hub/feeds.h"
#include "hub/home_channel.h"

#include <algorithm>

namespace trunkline::hub {

namespace {

// What publications are ahead of the fastest subscriber.
struct Lead {
  std::size_t publications = 0;
  std::uint64_t bytes = 0;
};

Lead lead_of(const replay::Window& window, const std::vector<Interest>& shards) {
  const Offset served = std::ranges::max(shards, {}, &Interest::served).served;
  if (window.head() <= served) {
    return {};
  }
  Lead lead{.publications = window.head().value - served.value, .bytes = 0};
  const Offset first = std::max(served.next(), window.first());
  if (first <= window.head()) {
    const replay::Record& last = window.record(window.head());
    lead.bytes = last.begin + last.frame_bytes - window.record(first).begin;
  }
  return lead;
}

std::size_t bytes_of(const PublishRequest& request) {
  return request.publication.data.size();
}

}  // namespace

bool Home::outruns(const Channel& channel, const PublishRequest& request) const {
  if (channel.shards.empty() || channel.standing_still || !request.logged ||
      pacing_.wait_max <= Duration{0}) {
    return false;
  }
  const Lead lead = lead_of(channel.log->window(), channel.shards);
  return !pacing_.allows(lead.publications + 1, lead.bytes + bytes_of(request),
                         channel.settings.history);
}

// Far enough for the subscribers' shards to be asked, so that their answer comes in time.
bool Home::is_far_ahead(const Channel& channel) const {
  if (channel.shards.empty() || pacing_.wait_max <= Duration{0}) {
    return false;
  }
  const Lead lead = lead_of(channel.log->window(), channel.shards);
  return !pacing_.allows(lead.publications, lead.bytes, channel.settings.history, 2);
}

void Home::wait(Channel& channel, PublishRequest request, TimePoint now) {
  TRUNKLINE_SOMETIMES("publisher waits for the fastest subscriber");
  ++stats_.delayed;
  if (!channel.waiting) {
    channel.waiting = std::make_unique<Channel::Waiting>();
    channel.waiting->since = now;
    waited_.push_back(channel);
    arm_waits();
    ask_progress(channel);
  }
  const std::string name = request.channel;
  channel.waiting->bytes += bytes_of(request);
  stats_.waiting_bytes += bytes_of(request);
  channel.waiting->requests.push_back(std::move(request));
  Channel* still = &channel;
  while (still != nullptr && still->waiting && still->waiting->bytes > pacing_.waiting_bytes_max &&
         still->waiting->requests.size() > 1) {
    TRUNKLINE_SOMETIMES("too many publications wait");
    publish_first(*still, now);
    still = find(name);
  }
}

// Half of the way, so that publishers go on before the subscriber has nothing left to do. What is
// not announced yet is asked for with its announcement.
void Home::ask_progress(Channel& channel) {
  for (Interest& interest : channel.shards) {
    if (interest.asked > interest.served || interest.served >= channel.announced) {
      continue;
    }
    const std::uint64_t ahead = channel.announced.value - interest.served.value;
    interest.asked = Offset{interest.served.value + (ahead + 1) / 2};
    ProgressRequest request{channel.name, interest.asked};
    if (interest.shard == self_) {
      feeds_.ask(request);
    } else {
      mail_.post(interest.shard, std::move(request));
    }
  }
}

void Home::progress(const ProgressNotice& notice, TimePoint now) {
  Channel* channel = find(notice.channel);
  if (channel == nullptr) {
    return;
  }
  const auto interest = std::ranges::find(channel->shards, notice.origin, &Interest::shard);
  if (interest == channel->shards.end()) {
    return;
  }
  interest->served = std::max(interest->served, notice.served);
  channel->standing_still = false;
  release(notice.channel, now);
}

void Home::publish_first(Channel& channel, TimePoint now) {
  Channel::Waiting& waiting = *channel.waiting;
  PublishRequest request = std::move(waiting.requests.front());
  waiting.requests.pop_front();
  waiting.bytes -= bytes_of(request);
  stats_.waiting_bytes -= bytes_of(request);
  if (!TRUNKLINE_MUTANT("waiting-publication-lost")) {
    publish_now(channel, std::move(request), now);
  }
}

// Whoever is answered may publish, subscribe or leave, here again: everything is looked up anew for
// each publication.
void Home::release(const std::string& name, TimePoint now) {
  for (;;) {
    Channel* channel = find(name);
    if (channel == nullptr || !channel->waiting) {
      break;
    }
    auto& hook = static_cast<ListHook<Waited>&>(*channel);
    if (channel->waiting->requests.empty()) {
      hook.unlink();
      channel->waiting.reset();
      break;
    }
    if (outruns(*channel, channel->waiting->requests.front())) {
      hook.unlink();
      waited_.push_back(*channel);
      channel->waiting->since = now;
      ask_progress(*channel);
      break;
    }
    publish_first(*channel, now);
  }
  arm_waits();
}

void Home::arm_waits() {
  if (Channel* channel = waited_.front()) {
    timers_.arm(*this, channel->waiting->since + pacing_.wait_max);
  } else {
    timers_.disarm(*this);
  }
}

void Home::on_timer(TimePoint now) {
  while (Channel* channel = waited_.front()) {
    if (channel->waiting->since + pacing_.wait_max > now) {
      break;
    }
    TRUNKLINE_SOMETIMES("publisher waited in vain");
    channel->standing_still = true;
    release(std::string(channel->name), now);
  }
  arm_waits();
}

}  // namespace trunkline::hub
