// SPDX-License-Identifier: Apache-2.0
#include "locks/taker.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

namespace locks {

namespace {

using std::chrono::milliseconds;

// Clocks of two machines run apart by far less than one part in a hundred.
Clock::duration margin(milliseconds lease) {
  return lease / 100 + milliseconds(2);
}

Owner make_owner() {
  static_assert(sizeof(Owner) == 4 * sizeof(std::random_device::result_type));
  std::random_device random;
  Owner owner{};
  for (std::size_t i = 0; i < owner.size(); i += sizeof(std::random_device::result_type)) {
    const auto bits = random();
    for (std::size_t byte = 0; byte < sizeof bits; ++byte) {
      owner[i + byte] = static_cast<char>(bits >> (8 * byte));
    }
  }
  return owner;
}

// Waits so long, or until the token says stop. True: stopped.
bool pause(const std::stop_token& stop, Clock::time_point until) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_until(lock, stop, until, [] { return false; });
  return stop.stop_requested();
}

// All nodes asked the same. Shared with those who have not answered yet.
class Round {
 public:
  explicit Round(std::size_t voters) : voters_(voters) {}

  static std::shared_ptr<Round> ask(const TakerOptions& options, Verb verb,
                                    const LockRequest& request, milliseconds timeout) {
    auto round = std::make_shared<Round>(options.voters.size());
    for (const Voter& voter : options.voters) {
      voter(verb, request, timeout,
            [round](std::optional<LockReply> reply) { round->answered(reply); });
    }
    return round;
  }

  // True: more than half have said one of these. False: they cannot any more, or it is too late.
  bool has_majority(std::initializer_list<Verdict> wanted, Clock::time_point until) {
    std::unique_lock lock(mutex_);
    const auto yes = [&] {
      return static_cast<std::size_t>(std::ranges::count_if(
          replies_, [&](Verdict said) { return std::ranges::find(wanted, said) != wanted.end(); }));
    };
    const auto is_decided = [&] {
      const std::size_t silent = voters_ - replies_.size() - unanswered_;
      return is_majority(yes()) || !is_majority(yes() + silent);
    };
    changed_.wait_until(lock, until, is_decided);
    return is_majority(yes());
  }

  // Whether more than half can be one of these, if those who have said nothing are.
  bool may_have(Verdict wanted) {
    const std::lock_guard lock(mutex_);
    const auto others = static_cast<std::size_t>(
        std::ranges::count_if(replies_, [&](Verdict said) { return said != wanted; }));
    return is_majority(voters_ - others);
  }

 private:
  [[nodiscard]] bool is_majority(std::size_t count) const { return 2 * count > voters_; }

  void answered(std::optional<LockReply> reply) {
    const std::lock_guard lock(mutex_);
    if (reply.has_value()) {
      replies_.push_back(reply->verdict);
    } else {
      ++unanswered_;
    }
    changed_.notify_all();
  }

  const std::size_t voters_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Verdict> replies_;
  std::size_t unanswered_ = 0;
};

// Everywhere: who has not answered may have granted it. A node that cannot be reached hears of it
// later, while there is something to give back.
void give_back(const TakerOptions& options, const LockRequest& request) {
  const auto round = Round::ask(options, Verb::kRelease, request, options.lease);
  round->has_majority({Verdict::kReleased}, Clock::now() + options.lease / 4);
}

}  // namespace

// --- a lock that is held ---

Hold::Hold(const TakerOptions& options, LockRequest request, Clock::time_point valid_until)
    : options_(options),
      request_(std::move(request)),
      valid_until_(valid_until.time_since_epoch().count()),
      thread_([this](const std::stop_token& stop) { keep(stop); }) {}

Hold::~Hold() {
  thread_.request_stop();
  thread_.join();
  give_back(options_, request_);
}

void Hold::keep(const std::stop_token& stop) {
  Clock::time_point next = Clock::now() + options_.lease / 3;
  while (!pause(stop, std::min(next, valid_until()))) {
    const Clock::time_point begun = Clock::now();
    if (begun >= valid_until()) {
      break;
    }
    const auto round = Round::ask(options_, Verb::kRefresh, request_, options_.lease / 3);
    const auto until = std::min(begun + options_.lease / 3, valid_until());
    if (round->has_majority({Verdict::kKept}, until)) {
      const auto valid = begun + options_.lease - margin(options_.lease);
      valid_until_ = valid.time_since_epoch().count();
      next = begun + options_.lease / 3;
    } else if (!round->may_have(Verdict::kKept)) {
      break;  // more than half say that it is not
    } else {
      next = Clock::now() + options_.lease / 20;
    }
  }
  if (!stop.stop_requested()) {
    valid_until_ = std::min(valid_until(), Clock::now()).time_since_epoch().count();
    lost_.request_stop();
  }
}

// --- taking ---

std::unique_ptr<Hold> Taker::try_take(std::string_view name) {
  const LockRequest request{.owner = make_owner(),
                            .lease_ms = static_cast<std::uint32_t>(options_.lease.count()),
                            .name = std::string(name)};
  const Clock::time_point begun = Clock::now();
  const milliseconds budget = options_.lease / 4;
  const auto round = Round::ask(options_, Verb::kAcquire, request, budget);
  const Clock::time_point valid_until = begun + options_.lease - margin(options_.lease);
  if (round->has_majority({Verdict::kGranted, Verdict::kKept}, begun + budget) &&
      Clock::now() < valid_until) {
    return std::make_unique<Hold>(options_, request, valid_until);
  }
  give_back(options_, request);
  return nullptr;
}

std::unique_ptr<Hold> Taker::take(std::string_view name, const std::stop_token& stop) {
  std::minstd_rand random(std::random_device{}());
  while (!stop.stop_requested()) {
    if (std::unique_ptr<Hold> hold = try_take(name)) {
      return hold;
    }
    // Random, so that two who have split the nodes between them do not meet again.
    const milliseconds longest = std::max(options_.lease / 50, milliseconds(10));
    std::uniform_int_distribution<milliseconds::rep> pauses(1, longest.count());
    pause(stop, Clock::now() + milliseconds(pauses(random)));
  }
  return nullptr;
}

}  // namespace locks
