// SPDX-License-Identifier: Apache-2.0
#include "sim/shard.h"

#include "core/probe.h"
#include "sim/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr std::size_t kBatchMax = 4;
// A call that another shard must answer has its answer after so long, however late the mail.
constexpr Duration kAnswerWithin = 5s;

// Whether its sender waits for an answer.
bool asks_something(const hub::Message& message) {
  return std::holds_alternative<hub::PublishRequest>(message) ||
         std::holds_alternative<hub::AttachRequest>(message) ||
         std::holds_alternative<hub::HistoryRequest>(message) ||
         std::holds_alternative<hub::HistoryRemoveRequest>(message);
}

}  // namespace

Rooms::Rooms(Shard& shard, hub::ShardId self, hub::ShardId shards)
    : random(shard.schedule_.random.next()),
      timers(shard.schedule_.now()),
      memory(shard.options_.engine, timers, random),
      engine(memory, shard.checker_),
      hub(self, shards, engine, codec, shard, timers),
      environment{.options = shard.options_.session,
                  .authenticator = shard.authenticator_,
                  .hub = hub,
                  .timers = timers,
                  .random = random} {
  hub.set_compressor(compressor);
  hub.set_pacing(shard.options_.pacing);
}

Shard::Shard(Server& server, Schedule& schedule, Checker& checker, hub::ShardId self,
             hub::ShardId shards, const ShardOptions& options,
             const session::Authenticator& authenticator)
    : server_(server),
      schedule_(schedule),
      checker_(checker),
      self_(self),
      options_(options),
      authenticator_(authenticator),
      rooms_(std::make_unique<Rooms>(*this, self, shards)),
      plans_(kBatchMax) {}

Shard::~Shard() = default;

void Shard::free_rooms() {
  rooms_.reset();
}

// — what happens —

void Shard::receive(hub::Message message) {
  if (draining_ && !drained_ && asks_something(message)) {
    TRUNKLINE_SOMETIMES("a drained shard is asked");
  }
  run([message = std::move(message)](Shard& shard) mutable {
    shard.rooms_->hub.handle(std::move(message), shard.schedule_.now());
  });
}

void Shard::run(Task task) {
  if (ended_) {
    return;
  }
  tasks_.push_back(std::move(task));
  // Now and then several things come together.
  want_turn(schedule_.random.one_in(4) ? schedule_.between(0ms, 5ms) : 0ms);
}

void Shard::adopt(Wire& wire) {
  if (ended_) {
    wire.down.finish();
    return;
  }
  const std::uint64_t id = ++last_connection_;
  wire.shard = this;
  wire.connection = id;
  wire.up.on_bytes = [this, id](std::string_view bytes) {
    run([id, input = std::string(bytes)](Shard& shard) {
      if (Connection* connection = shard.find(id)) {
        connection->received(input);
      }
    });
  };
  wire.down.on_writable = [this, id] {
    run([id](Shard& shard) {
      if (Connection* connection = shard.find(id)) {
        connection->writable();
      }
    });
  };
  run([id, &wire](Shard& shard) {
    auto& connection =
        *shard.connections_.emplace(id, std::make_unique<Connection>(shard, id, wire))
             .first->second;
    if (shard.draining_) {
      TRUNKLINE_SOMETIMES("connection for a shard that is going down");
      connection.shut_down();
    }
  });
}

Connection* Shard::find(std::uint64_t connection) {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Shard::ask_door(std::uint64_t connection) {
  server_.ask_door(self_, connection);
}

std::uint64_t Shard::begin_call() {
  if (draining_) {
    return 0;
  }
  calls_.insert(++last_call_);
  return last_call_;
}

void Shard::end_call(std::uint64_t call) {
  calls_.erase(call);
}

void Shard::post(hub::ShardId to, hub::Message message) {
  outgoing_.emplace_back(to, std::move(message));
}

// — the turn —

void Shard::want_turn(Duration delay) {
  const TimePoint at = schedule_.now() + delay;
  if (at >= turn_at_) {
    return;
  }
  turn_at_ = at;
  schedule_.at(at, [this, at] {
    if (turn_at_ == at) {
      turn();
    }
  });
}

void Shard::turn() {
  turn_at_ = TimePoint::max();
  if (ended_) {
    return;
  }
  const TimePoint now = schedule_.now();
  // The wall clock stands a fixed distance ahead.
  rooms_->environment.now = {now, WallTime(std::chrono::floor<std::chrono::milliseconds>(
                                      now.time_since_epoch() + std::chrono::hours(400'000)))};
  for (Task& task : std::exchange(tasks_, {})) {
    task(*this);
  }
  end_turn();
  if (draining_) {
    keep_draining();
  }
  if (finishing_ && connections_.empty()) {
    end();
    return;
  }
  if (!tasks_.empty() || !to_flush_.empty() || !behind_.empty() || !outgoing_.empty() ||
      rooms_->hub.has_work()) {
    want_turn(0ms);
  }
  arm_wakeup();
}

void Shard::end_turn() {
  const TimePoint now = schedule_.now();
  rooms_->timers.advance(now);
  rooms_->hub.announce();
  flush_connections();
  flush_behind();
  rooms_->hub.settle(now);
  flush_connections();
  check_flushed();
  reap();
  for (auto& [to, message] : std::exchange(outgoing_, {})) {
    server_.post(self_, to, std::move(message));
  }
}

void Shard::reap() {
  while (Connection* connection = dead_.pop_front()) {
    connections_.erase(connection->id());
  }
}

void Shard::arm_wakeup() {
  const TimePoint soon = schedule_.now() + 1ms;
  TimePoint next = rooms_->timers.next_wakeup().value_or(TimePoint::max());
  if (drained_) {
    next = std::min(next, drain_schedule_->next_moment().value_or(drain_deadline_));
  }
  if (next != TimePoint::max()) {
    want_turn(std::max(next, soon) - schedule_.now());
  }
}

// — writing —

void Shard::catch_up(Connection& connection) {
  auto& hook = static_cast<ListHook<FlushHook>&>(connection);
  hook.unlink();
  connection.turns_behind_ = connection.ahead_ = 0;
  IntrusiveList<Connection, FlushHook> others;
  if (TRUNKLINE_MUTANT("catch-up-starves")) {
    others.splice_back(behind_);
  }
  for (Connection* other = behind_.front(); other != nullptr; other = behind_.after(*other)) {
    ++connection.ahead_;
  }
  behind_.push_back(connection);
  behind_.splice_back(others);
}

void Shard::flush_connections() {
  while (flush_batch(to_flush_, std::numeric_limits<std::size_t>::max()) > 0) {
  }
}

void Shard::flush_behind() {
  std::size_t left = options_.catch_up_bytes_per_turn;
  while (left > 0) {
    const std::size_t planned = flush_batch(behind_, left);
    if (planned == 0) {
      break;
    }
    left -= std::min(planned, left);
  }
  for (Connection* one = behind_.front(); one != nullptr; one = behind_.after(*one)) {
    TRUNKLINE_SOMETIMES("a turn ends before all caught up");
    // Each turn serves at least the first; it may have joined in this one.
    if (++one->turns_behind_ > one->ahead_ + 2) {
      checker_.violated("starved", fmt::format("connection {}: {} turns behind {} others",
                                               one->id(), one->turns_behind_, one->ahead_));
    }
  }
}

std::size_t Shard::flush_batch(IntrusiveList<Connection, FlushHook>& line, std::size_t bytes_max) {
  batch_.clear();
  std::size_t planned = 0;
  while (batch_.size() < plans_.size() && planned < bytes_max) {
    Connection* connection = line.pop_front();
    if (connection == nullptr) {
      break;
    }
    if (connection->dropped_ || connection->waiting_to_write_) {
      continue;
    }
    outbox::Plan& plan = plans_[batch_.size()];
    connection->outbox_.gather(plan, options_.run_bytes);
    batch_.push_back(connection);
    planned += 1 + plan.bytes();
  }
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    batch_[i]->write(plans_[i]);
  }
  for (Connection* connection : batch_) {
    connection->flushed();
  }
  return planned;
}

// Who keeps up has everything of this turn, however many do not.
void Shard::check_flushed() {
  for (const auto& [id, connection] : connections_) {
    const bool in_line = static_cast<ListHook<FlushHook>&>(*connection).is_linked();
    if (!connection->dropped_ && !connection->waiting_to_write_ && !in_line &&
        !connection->outbox_.idle()) {
      checker_.violated("not flushed",
                        fmt::format("connection {} is owed something, and nobody knows", id));
    }
  }
}

// — the end —

void Shard::drain(Duration deadline, std::move_only_function<void()> drained) {
  if (!calls_.empty()) {
    TRUNKLINE_SOMETIMES("stop during an API call");
  }
  if (snapshots_asked > 0) {
    TRUNKLINE_SOMETIMES("stop while a snapshot is taken");
  }
  draining_ = true;
  drained_ = std::move(drained);
  drain_time_ = deadline;
  drain_deadline_ = schedule_.now() + deadline;
  std::vector<std::uint64_t> clients;
  for (const auto& [id, connection] : connections_) {
    connection->note_situation();
    if (connection->session() != nullptr) {
      clients.push_back(id);
    } else {
      connection->shut_down();
    }
  }
  const Duration window =
      session::DrainSchedule::window(clients.size(), options_.drain_per_second, deadline / 2);
  drain_schedule_.emplace(clients, schedule_.now(), window, rooms_->random);
}

void Shard::keep_draining() {
  while (const auto id = drain_schedule_->next_due(schedule_.now())) {
    if (Connection* connection = find(*id)) {
      if (schedule_.now() > drain_deadline_ - drain_time_) {
        TRUNKLINE_SOMETIMES("a client is disconnected later than the stop");
      }
      connection->shut_down();
    }
  }
  if (schedule_.now() >= drain_deadline_) {
    for (const auto& [id, connection] : connections_) {
      connection->give_up();
    }
    if (!calls_.empty() && drain_time_ >= kAnswerWithin) {
      checker_.violated("call not answered",
                        fmt::format("{} API calls of shard {} wait at the deadline of the stop",
                                    calls_.size(), self_));
    }
    calls_.clear();
    reap();
  }
  if (connections_.empty() && calls_.empty() && drained_) {
    std::exchange(drained_, nullptr)();
  }
}

void Shard::end() {
  ended_ = true;
  // What is in the mailbox is taken for the last time.
  for (hub::Message& message : server_.take_mail(self_)) {
    rooms_->hub.handle(std::move(message), schedule_.now());
  }
  for (Task& task : std::exchange(tasks_, {})) {
    task(*this);
  }
  end_turn();
  check_left_behind();
  server_.ended();
}

void Shard::check_left_behind() {
  const hub::HubStats stats = rooms_->hub.stats();
  const session::Environment& environment = rooms_->environment;
  if (!connections_.empty() || !calls_.empty() || stats.feeds.subscriptions > 0 ||
      environment.registry.size() > 0 || environment.stats.connected > 0) {
    checker_.violated(
        "left behind",
        fmt::format("{} connections, {} calls, {} subscriptions, {} sessions", connections_.size(),
                    calls_.size(), stats.feeds.subscriptions, environment.registry.size()));
  }
}

void Shard::check_nothing_left() {
  const hub::HubStats left = rooms_->hub.stats();
  if (left.engine.logs > 0 || left.engine.memory_bytes > 0 || left.home.channels > 0) {
    checker_.violated("memory",
                      fmt::format("{} channels, {} logs and {} bytes are left of nothing",
                                  left.home.channels, left.engine.logs, left.engine.memory_bytes));
  }
  if (rooms_->timers.next_wakeup().has_value()) {
    checker_.violated("timers", fmt::format("a timer of shard {} is left of nothing", self_));
  }
}

}  // namespace trunkline::sim
