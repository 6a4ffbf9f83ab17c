// SPDX-License-Identifier: Apache-2.0
//
// What a home knows of one channel. Only home*.cpp include it.
#pragma once

#include "hub/home.h"
#include "hub/idempotency.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::hub {

// Subscribers of one channel on one shard.
struct Interest {
  ShardId shard = 0;
  std::size_t subscribers = 0;
  Offset served;  // the fastest of them has taken everything up to here, as far as is known
  Offset asked;   // the shard will say when it has taken this
};

struct Home::Channel final : ListHook<Home::Dirty>, ListHook<Home::Keyed>, ListHook<Home::Waited> {
  // Publications that wait for a subscriber.
  struct Waiting {
    std::deque<PublishRequest> requests;
    std::size_t bytes = 0;
    TimePoint since;  // of the first, or the last progress
  };

  explicit Channel(std::string channel_name) : name(std::move(channel_name)) {}

  std::string name;
  ChannelSettings settings;
  const replay::Log* log = nullptr;
  Offset announced;  // what the other shards know
  std::size_t subscribers = 0;
  std::vector<Interest> shards;
  StringMap<ClientInfo> members;  // with presence or join_leave only
  std::string joining;            // the member whose attach is being answered here: not told yet
  std::unique_ptr<RecentKeys> keys;
  std::unique_ptr<Waiting> waiting;
  bool standing_still = false;  // one waited in vain: none waits before there is progress
};

template <class T>
void Home::answer(ShardId origin, Done<T> done, Result<T> result) {
  if (origin == self_) {
    done(std::move(result));
    return;
  }
  mail_.post(origin, Answer{[done = std::move(done), result = std::move(result)]() mutable {
               done(std::move(result));
             }});
}

}  // namespace trunkline::hub
