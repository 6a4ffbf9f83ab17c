// SPDX-License-Identifier: Apache-2.0
//
// Takes locks by asking all lock nodes: whoever has more than half of them has the lock.
//
// What makes it right:
//   - A lease is counted from before the first node was asked, by the taker's clock, less a margin
//     for clocks that do not run alike; a node counts it from when it was asked. So the taker stops
//     believing before any node forgets.
//   - A lock stays its owner's only while more than half of the nodes say that they have *kept* it.
//     A node that grants it anew (it was restarted, or the lease had run out) counts from the next
//     refresh on: in between somebody else may have been there.
//   - Each attempt has an owner of its own and a small part of the lease to come together in. One
//     that fails gives back everywhere, also where no answer has come from, before the next begins.
//   - Who holds a lock is told when it is lost, at the latest when the lease has run out.
//
// What it cannot do: hold back a program that is stopped between its last look at valid() and what
// it does. Where that matters, the thing that the lock protects has to count too.
#pragma once

#include "locks/messages.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace locks {

using Clock = std::chrono::steady_clock;

enum class Verb { kAcquire, kRefresh, kRelease };

// A lock node. Asks it, and calls `done` once, from any thread, maybe at once; none: no answer
// within the timeout.
using Voter =
    std::function<void(Verb verb, const LockRequest& request, std::chrono::milliseconds timeout,
                       std::function<void(std::optional<LockReply>)> done)>;

struct TakerOptions {
  std::vector<Voter> voters{};
  std::chrono::milliseconds lease{10'000};  // the nodes' longest, or less
};

// A lock that is held, refreshed by a thread of its own. Given back when it is destroyed, which may
// take a quarter of the lease. Thread: any.
class Hold {
 public:
  Hold(const TakerOptions& options, LockRequest request, Clock::time_point valid_until);
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold();

  // Whether it is this holder's, now.
  [[nodiscard]] bool valid() const { return Clock::now() < valid_until(); }

  // Until when it is, if nothing more is heard. Goes to the past when it is lost.
  [[nodiscard]] Clock::time_point valid_until() const {
    return Clock::time_point(Clock::duration(valid_until_.load()));
  }

  // Requested when it is lost.
  [[nodiscard]] std::stop_token lost() const { return lost_.get_token(); }

 private:
  void keep(const std::stop_token& stop);

  const TakerOptions& options_;
  const LockRequest request_;
  std::atomic<Clock::rep> valid_until_;
  std::stop_source lost_;
  std::jthread thread_;
};

// Thread: any.
class Taker {
 public:
  explicit Taker(TakerOptions options) : options_(std::move(options)) {}

  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;

  // One attempt; null: somebody else has it, or too few nodes answer. Holds must go before the
  // taker.
  [[nodiscard]] std::unique_ptr<Hold> try_take(std::string_view name);
  // Attempts until it has it, with a random pause between them; null: stopped.
  [[nodiscard]] std::unique_ptr<Hold> take(std::string_view name, const std::stop_token& stop);

 private:
  const TakerOptions options_;
};

}  // namespace locks
