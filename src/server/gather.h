// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/runtime.h"
#include "net/shard.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline::server {

// Asks every shard a question and hands all answers, by shard, to `done` on the shard that asked.
// When a shard has ended meanwhile, the server is stopping and `done` is dropped.
template <class T>
void gather(net::Runtime& runtime, hub::ShardId origin, std::function<T(net::Shard&)> question,
            std::move_only_function<void(std::vector<T>)> done) {
  struct State {
    std::vector<T> answers;
    hub::ShardId left;
    std::move_only_function<void(std::vector<T>)> done;
  };

  // Touched on the asking shard only; the others just carry the pointer back.
  auto state = std::make_shared<State>(
      State{std::vector<T>(runtime.shards()), runtime.shards(), std::move(done)});
  for (hub::ShardId id = 0; id < runtime.shards(); ++id) {
    runtime.post(id, [&runtime, origin, question, state](net::Shard& shard) {
      runtime.post(origin, [state, id = shard.self(),
                            answer = question(shard)](net::Shard& /*shard*/) mutable {
        state->answers[id] = std::move(answer);
        if (--state->left == 0) {
          state->done(std::move(state->answers));
        }
      });
    });
  }
}

}  // namespace trunkline::server
