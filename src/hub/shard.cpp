// SPDX-License-Identifier: Apache-2.0
#include "hub/shard.h"

#include "core/assert.h"
#include "core/probe.h"

#include <utility>

namespace trunkline::hub {

HubShard::HubShard(ShardId self, ShardId shards, replay::Engine& engine, const Codec& codec,
                   Mail& mail, TimerWheel& timers)
    : self_(self),
      shards_(shards),
      engine_(engine),
      mail_(mail),
      feeds_(
          timers,
          [this](const std::string& channel, std::string client) {
            to_home(DetachNotice{channel, std::move(client), self_}, now_);
          },
          [this](const std::string& channel, Offset served) {
            to_home(ProgressNotice{channel, served, self_}, now_);
          }),
      home_(self, engine, codec, mail, feeds_, timers) {
  TRUNKLINE_ASSERT(self < shards);
}

template <class Request>
void HubShard::to_home(Request request, TimePoint now) {
  request.origin = self_;
  const ShardId home = home_of(request.channel);
  if (home == self_) {
    dispatch(std::move(request), now);
  } else {
    mail_.post(home, std::move(request));
  }
}

void HubShard::publish(PublishRequest request, TimePoint now) {
  if (refuse_growth_) {
    request.done(fail(ErrorCode::kLimitExceeded, "the server's memory is used up"));
    return;
  }
  to_home(std::move(request), now);
}

void HubShard::history(HistoryRequest request, TimePoint now) {
  to_home(std::move(request), now);
}

void HubShard::history_remove(HistoryRemoveRequest request, TimePoint now) {
  to_home(std::move(request), now);
}

void HubShard::presence(PresenceRequest request, TimePoint now) {
  to_home(std::move(request), now);
}

void HubShard::presence_stats(PresenceStatsRequest request, TimePoint now) {
  to_home(std::move(request), now);
}

void HubShard::channels(Done<ChannelCounts> done, TimePoint now) {
  struct Gather {
    ChannelCounts counts;
    ShardId left;
    Done<ChannelCounts> done;
  };

  // Touched on this shard only: the continuations run here.
  auto gather = std::make_shared<Gather>(Gather{{}, shards_, std::move(done)});
  for (ShardId shard = 0; shard < shards_; ++shard) {
    ChannelsRequest request{self_, [gather](Result<ChannelCounts> counts) {
                              if (counts.has_value()) {
                                gather->counts.insert(gather->counts.end(), counts->begin(),
                                                      counts->end());
                              }
                              if (--gather->left == 0) {
                                gather->done(std::move(gather->counts));
                              }
                            }};
    if (shard == self_) {
      dispatch(std::move(request), now);
    } else {
      mail_.post(shard, std::move(request));
    }
  }
}

void HubShard::attach(Attach request, TimePoint now) {
  feeds_.begin(request.channel, request.settings.history);
  AttachRequest message{.channel = request.channel,
                        .settings = request.settings,
                        .member = request.member,
                        .origin = self_,
                        .done = {}};
  message.done = [this, request = std::move(request)](Result<Attached> attached) mutable {
    Sink* sink = attached.has_value() ? request.sink() : nullptr;
    if (sink == nullptr) {
      TRUNKLINE_SOMETIMES("answer for a session that has gone");
    }
    // Only a member has to be named when it leaves; a name costs every subscription memory.
    const bool is_member = request.settings.presence || request.settings.join_leave;
    std::unique_ptr<Subscription> subscription = feeds_.finish(
        request.channel, sink, is_member ? std::move(request.member.client) : std::string{});
    if (subscription) {
      request.take(std::move(subscription), *attached);
    }
  };
  to_home(std::move(message), now);
}

void HubShard::handle(Message message, TimePoint now) {
  now_ = now;
  dispatch(std::move(message), now);
}

void HubShard::dispatch(Message message, TimePoint now) {
  now_ = now;

  struct Visitor {
    HubShard& hub;
    TimePoint now;

    void operator()(PublishRequest& request) const { hub.home_.publish(std::move(request), now); }

    void operator()(AttachRequest& request) const { hub.home_.attach(std::move(request), now); }

    void operator()(DetachNotice& notice) const { hub.home_.detach(std::move(notice), now); }

    void operator()(HistoryRequest& request) const { hub.home_.history(std::move(request), now); }

    void operator()(HistoryRemoveRequest& request) const {
      hub.home_.history_remove(std::move(request), now);
    }

    void operator()(PresenceRequest& request) const { hub.home_.presence(std::move(request)); }

    void operator()(PresenceStatsRequest& request) const {
      hub.home_.presence_stats(std::move(request));
    }

    void operator()(ChannelsRequest& request) const { hub.home_.channels(std::move(request)); }

    void operator()(ProgressNotice& notice) const { hub.home_.progress(notice, now); }

    void operator()(ProgressRequest& request) const { hub.feeds_.ask(request); }

    void operator()(FeedUpdate& update) const { hub.feeds_.apply(update); }

    void operator()(FeedEvent& event) const { hub.feeds_.deliver(event); }

    void operator()(AttachAnswer& answer) const {
      if (answer.window) {
        hub.feeds_.install(answer.channel, answer.attached.top.epoch, *answer.window);
      }
      answer.done(std::move(answer.attached));
    }

    void operator()(Answer& answer) const { answer.run(); }
  };

  std::visit(Visitor{*this, now}, message);
}

void HubShard::announce() {
  home_.announce();
  feeds_.announce();
}

void HubShard::settle(TimePoint now) {
  now_ = now;
  feeds_.trim();
  home_.trim(now);
  feeds_.tell_lost();
  feeds_.report();
}

HubStats HubShard::stats() const {
  return HubStats{home_.stats(), feeds_.stats(), engine_.stats()};
}

}  // namespace trunkline::hub
