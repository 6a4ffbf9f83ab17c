// SPDX-License-Identifier: Apache-2.0
#include "net/shard.h"

#include "core/assert.h"
#include "net/clock.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kReadBufferBytes = 64UL * 1024;
// Events of one turn: enough to write together what came together, few enough that nobody waits.
constexpr int kEventsPerTurn = 256;

}  // namespace

Shard::Shard(hub::ShardId self, const std::vector<std::unique_ptr<Mailbox>>& mailboxes,
             const ShardOptions& options, const session::Authenticator& authenticator,
             std::uint64_t seed)
    : self_(self),
      mailboxes_(mailboxes),
      options_(options),
      io_(1),
      mail_ready_(io_, ::dup(mailboxes[self]->descriptor())),
      wakeup_(io_),
      random_(seed),
      timers_(monotonic_now()),
      engine_(options.engine, timers_, random_),
      scratch_(options.compression_settings),
      compressor_(scratch_),
      hub_(self, static_cast<hub::ShardId>(mailboxes.size()), engine_, codec_, *this, timers_),
      users_(self, mailboxes),
      environment_{.options = options.session,
                   .authenticator = authenticator,
                   .hub = hub_,
                   .timers = timers_,
                   .random = random_,
                   .users = &users_,
                   .log = options.log},
      outgoing_(mailboxes.size()),
      read_buffer_(kReadBufferBytes + ws::kMessagePadding) {
  touch();
  hub_.set_pacing(options.pacing);
  if (options.compression) {
    hub_.set_compressor(compressor_);
  }
}

Shard::~Shard() {
  join();
}

void Shard::start() {
  thread_ = std::thread([this] { run(); });
}

void Shard::join() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Shard::touch() {
  environment_.now = now();
  hub_.refuse_growth(options_.memory != nullptr && options_.memory->exhausted());
}

// — the turn —

void Shard::run() {
  open_sender();
  wait_for_mail();
  while (!finishing_ || !connections_.empty()) {
    arm_wakeup();
    // With work left over the sockets are looked at, but not waited for.
    if (behind_.empty() && to_flush_.empty() && !hub_.has_work()) {
      io_.run_one();
    }
    for (int events = 0; events < kEventsPerTurn && io_.poll_one() > 0; ++events) {
    }
    end_turn();
    if (draining_) {
      keep_draining();
    }
  }
  mailboxes_[self_]->close();
  // What is still in the mailbox is answered by being dropped; sessions are gone.
  take_mail();
  end_turn();
}

void Shard::keep_draining() {
  while (const auto id = drain_schedule_->next_due(environment_.now.monotonic)) {
    if (const auto found = connections_.find(*id); found != connections_.end()) {
      found->second->shut_down();
    }
  }
  if (environment_.now.monotonic >= drain_deadline_) {
    for (const auto& [id, connection] : connections_) {
      connection->drop(Ending::kShutdown);
    }
    io_.poll();
    reap();
  }
  if (connections_.empty() && drained_) {
    std::exchange(drained_, nullptr)();
  }
}

void Shard::open_sender() {
  if (options_.use_io_uring) {
    Result<std::unique_ptr<Sender>> ring = make_ring_sender();
    if (ring.has_value()) {
      sender_ = std::move(*ring);
    } else if (self_ == 0) {
      options_.log(ring.error().context + "; sending with a system call a connection");
    }
  }
  if (!sender_) {
    sender_ = make_direct_sender();
  }
  plans_.resize(sender_->batch_max());
}

void Shard::wait_for_mail() {
  mail_ready_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                           if (!error) {
                             take_mail();
                             wait_for_mail();
                           }
                         });
}

void Shard::take_mail() {
  touch();
  mailboxes_[self_]->take(incoming_);
  for (net::Mail& mail : incoming_) {
    if (auto* message = std::get_if<hub::Message>(&mail)) {
      hub_.handle(std::move(*message), environment_.now.monotonic);
    } else {
      std::get<Task>(mail)(*this);
    }
  }
  incoming_.clear();
}

void Shard::post(hub::ShardId to, hub::Message message) {
  outgoing_[to].emplace_back(std::move(message));
}

void Shard::end_turn() {
  touch();
  timers_.advance(environment_.now.monotonic);
  hub_.announce();
  flush_connections();
  flush_behind();
  hub_.settle(environment_.now.monotonic);
  // Subscribers that lost their place have been told.
  flush_connections();
  keep_within_memory();
  reap();
  for (hub::ShardId shard = 0; shard < outgoing_.size(); ++shard) {
    if (!outgoing_[shard].empty()) {
      mailboxes_[shard]->post_all(outgoing_[shard]);
    }
  }
}

void Shard::arm_wakeup() {
  std::optional<TimePoint> next = timers_.next_wakeup();
  if (draining_ && !connections_.empty()) {
    const TimePoint drain_at = drain_schedule_->next_moment().value_or(drain_deadline_);
    next = std::min(next.value_or(drain_at), drain_at);
  }
  if (next == wakeup_at_) {
    return;
  }
  wakeup_at_ = next;
  if (!next.has_value()) {
    wakeup_.cancel();
    return;
  }
  wakeup_.expires_at(std::chrono::steady_clock::time_point(next->time_since_epoch()));
  wakeup_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      wakeup_at_.reset();
    }
  });
}

// — writing —

void Shard::flush_connections() {
  while (flush_batch(to_flush_, std::numeric_limits<std::size_t>::max()) > 0) {
  }
}

// Those who read on after a stall are owed much: all together they get a bounded part of a turn, in
// turn, and those who keep up were served before.
void Shard::flush_behind() {
  std::size_t left = options_.catch_up_bytes_per_turn;
  while (left > 0) {
    const std::size_t planned = flush_batch(behind_, left);
    if (planned == 0) {
      return;
    }
    left -= std::min(planned, left);
  }
}

std::size_t Shard::flush_batch(IntrusiveList<Connection, FlushHook>& line, std::size_t bytes_max) {
  batch_.clear();
  sends_.clear();
  planned_.clear();
  std::size_t planned = 0;
  while (batch_.size() < sender_->batch_max() && planned < bytes_max) {
    Connection* connection = line.pop_front();
    if (connection == nullptr) {
      break;
    }
    // With thousands of connections the next one is in no cache: fetched while this one is read.
    if (Connection* next = line.front()) {
      next->prefetch();
    }
    if (connection->dropped_ || connection->waiting_to_write_) {
      account(*connection);
      continue;
    }
    const auto spans = connection->gather(plans_[batch_.size()]);
    batch_.push_back(connection);
    if (!spans.empty()) {
      sends_.push_back(
          {.descriptor = connection->socket_.native_handle(), .spans = spans, .result = 0});
      planned_.push_back(batch_.size() - 1);
    }
    planned += 1;
    for (const std::string_view span : spans) {
      planned += span.size();
    }
  }
  send_batch();
  return planned;
}

void Shard::send_batch() {
  sender_->send(sends_);
  for (std::size_t i = 0; i < sends_.size(); ++i) {
    wrote(*batch_[planned_[i]], plans_[planned_[i]], sends_[i].result);
  }
  // Only now: what a session does when it goes on may end others, and their plans with them.
  for (Connection* connection : batch_) {
    connection->flushed();
    account(*connection);
  }
}

void Shard::wrote(Connection& connection, const outbox::Plan& plan, ssize_t result) {
  // ENOBUFS and ENOMEM pass: the socket is writable again when the kernel has memory.
  const bool would_block = result == -EAGAIN || result == -ENOBUFS || result == -ENOMEM;
  if (result < 0 && !would_block) {
    connection.drop(Ending::kLost);
    return;
  }
  const auto bytes = static_cast<std::size_t>(std::max<ssize_t>(result, 0));
  stats_.sent_bytes += bytes;
  connection.wrote(plan, bytes);
}

// — connections —

void Shard::adopt(int descriptor, Ticket ticket) {
  const ConnectionId id = ++last_connection_;
  auto connection = std::make_unique<Connection>(*this, id, descriptor, std::move(ticket), tls_);
  Connection& started = *connection;
  connections_.emplace(id, std::move(connection));
  ++stats_.opened;
  started.start();
  if (draining_) {
    started.shut_down();
  }
}

void Shard::set_tls(std::shared_ptr<const TlsContext> context) {
  tls_ = std::move(context);
  if (tls_) {
    tls_buffer_.resize(kReadBufferBytes + ws::kMessagePadding);
  }
}

void Shard::respond(ConnectionId id, HttpResponse response) {
  const auto found = connections_.find(id);
  if (found != connections_.end()) {
    found->second->respond(std::move(response));
  }
}

bool Shard::answer_handshake(ConnectionId id, std::optional<Refusal> refused) {
  const auto found = connections_.find(id);
  const bool there = found != connections_.end() && !found->second->dropped_;
  if (there) {
    found->second->admitted(refused);
  }
  return there;
}

void Shard::drain(Duration deadline, Drained drained) {
  draining_ = true;
  drained_ = std::move(drained);
  drain_deadline_ = environment_.now.monotonic + deadline;
  std::vector<ConnectionId> clients;
  for (const auto& [id, connection] : connections_) {
    if (connection->is_websocket()) {
      clients.push_back(id);
    } else {
      connection->shut_down();
    }
  }
  // Each shard has about its part of the clients, and takes as long as the others.
  const Duration window = session::DrainSchedule::window(clients.size() * mailboxes_.size(),
                                                         options_.drain_per_second, deadline / 2);
  drain_schedule_.emplace(clients, environment_.now.monotonic, window, random_);
}

void Shard::finish() {
  finishing_ = true;
}

void Shard::reap() {
  IntrusiveList<Connection, DeadHook> still_busy;
  while (Connection* connection = dead_.pop_front()) {
    if (connection->can_be_deleted()) {
      outbox_bytes_ -= connection->accounted_bytes_;
      connections_.erase(connection->id());
    } else {
      still_busy.push_back(*connection);
    }
  }
  dead_.splice_back(still_busy);
}

ShardStats Shard::stats() const {
  ShardStats stats{.hub = hub_.stats(),
                   .session = environment_.stats,
                   .connection = stats_,
                   .users = environment_.registry.users(),
                   .memory = memory_use(),
                   .admission = {}};
  for (const auto& [id, connection] : connections_) {
    stats.websockets += connection->is_websocket() ? 1U : 0U;
    stats.outbox_bytes += connection->outbox_.pending_bytes();
    stats.connection.outbox += connection->outbox_.stats();
    stats.connection.blocked += connection->is_blocked() ? 1U : 0U;
    stats.cursors_behind += connection->outbox_.source_count();
  }
  return stats;
}

}  // namespace trunkline::net
