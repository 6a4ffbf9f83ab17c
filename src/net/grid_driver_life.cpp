// SPDX-License-Identifier: Apache-2.0
//
// Beginning and end of the node's thread, and its mail.
#include "net/clock.h"
#include "net/grid_driver.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sched.h>

#include <system_error>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

namespace {

// Handlers between two flushes, so that a busy socket cannot hold back the others' writes.
constexpr int kHandlersPerTurn = 256;

// Beyond the time to drain, for the last words.
constexpr std::chrono::milliseconds kDrainSlack{500};

// Of what other threads have asked, before the node's thread has looked: as many calls as may wait
// then.
constexpr std::size_t kMailMax = 65'536;

// How long a stop waits for handlers that block.
constexpr std::chrono::seconds kBlockingSlack{5};

// Redials are the grid's own matter: no breaker, no spacing, no limit of those who come.
PeerOptions peer_options(const GridOptions& options) {
  PeerOptions peers;
  peers.target_outbound = 0;
  peers.dials_in_flight_max = 64;
  peers.dial_timeout = options.handshake_deadline;
  peers.retry_start = options.redial_start;
  peers.retry_max = options.redial_max;
  // Counted from the dial on: a peer that only lets the handshake's time pass was no good one.
  peers.good_after = options.handshake_deadline + options.good_after;
  peers.slow_after_failures = 0;
  peers.slow_group_after_failures = 0;
  peers.breaker_failures = 0;
  peers.feeler_interval = std::chrono::milliseconds(0);
  peers.inbound_max = 0;
  peers.inbound_per_group = 0;
  return peers;
}

}  // namespace

namespace {

thread_local GridDriver* driver_of_this_thread = nullptr;

}  // namespace

GridDriver* GridDriver::here() {
  return driver_of_this_thread;
}

bool GridDriver::is_on_loop() const {
  return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

bool GridDriver::has_stopped() {
  const std::lock_guard lock(mutex_);
  return life_ == Life::kStopped || life_ == Life::kJoined;
}

bool GridDriver::is_swamped() {
  const std::lock_guard lock(mutex_);
  return mail_.size() >= kMailMax;
}

bool GridDriver::post(GridTask task) {
  const std::lock_guard lock(mutex_);
  if (life_ == Life::kStopped || life_ == Life::kJoined) {
    return false;
  }
  mail_.push_back(std::move(task));
  if (mail_.size() == 1) {
    asio::post(io_, [this] { take_mail(); });
  }
  return true;
}

bool GridDriver::dispatch(GridTask task) {
  if (!is_on_loop()) {
    return post(std::move(task));
  }
  begin_turn();
  task();
  return true;
}

bool GridDriver::dispatch_and_wait(GridTask task) {
  if (is_on_loop()) {
    return dispatch(std::move(task));
  }

  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool ran = false;
    bool dropped = false;
  };

  // Also told when the mail is dropped unread.
  struct Teller {
    explicit Teller(std::shared_ptr<Done> of) : done(std::move(of)) {}

    Teller(Teller&&) = default;
    Teller(const Teller&) = delete;
    Teller& operator=(const Teller&) = delete;
    Teller& operator=(Teller&&) = delete;

    ~Teller() {
      if (done != nullptr) {
        const std::lock_guard lock(done->mutex);
        done->dropped = !done->ran;
        done->changed.notify_all();
      }
    }

    std::shared_ptr<Done> done;
  };

  const auto done = std::make_shared<Done>();
  const bool is_running = [this] {
    const std::lock_guard lock(mutex_);
    return life_ == Life::kRunning;
  }();
  const bool posted = post([teller = Teller(done), task = std::move(task)]() mutable {
    task();
    const std::lock_guard lock(teller.done->mutex);
    teller.done->ran = true;
  });
  if (!posted || !is_running) {
    return posted;  // before the start it is done with the first turn
  }
  std::unique_lock lock(done->mutex);
  done->changed.wait(lock, [&done] { return done->ran || done->dropped; });
  return done->ran;
}

Result<void> GridDriver::make_manager() {
  PeerHooks hooks;
  const auto adopt_as = [weak = weak_from_this()](grid::Side side) {
    return [weak, side](PeerId id, std::shared_ptr<PeerConnection> connection) {
      const std::shared_ptr<GridDriver> driver = weak.lock();
      const bool taken =
          driver != nullptr && driver->post([there = driver.get(), id, connection, side] {
            there->begin_turn();
            there->adopt(id, connection, side);
          });
      if (!taken) {
        connection->close("the node has stopped");
      }
    };
  };
  hooks.on_connected = adopt_as(grid::Side::kDialler);
  hooks.on_accept = adopt_as(grid::Side::kAcceptor);
  hooks.on_event = [weak = weak_from_this()](const PeerEvent& event) {
    const std::shared_ptr<GridDriver> driver = weak.lock();
    if (driver == nullptr || event.kind != PeerEventKind::kState ||
        event.to != PeerState::kFailing) {
      return;
    }
    driver->post(
        [there = driver.get(), id = event.id, why = event.text] { there->dial_failed(id, why); });
  };
  Result<std::unique_ptr<PeerManager>> manager =
      PeerManager::create(peer_options(options_), std::move(hooks));
  if (!manager.has_value()) {
    return std::unexpected(manager.error());
  }
  manager_ = std::move(*manager);
  if (!options_.listen.empty()) {
    const Result<std::uint16_t> port = manager_->listen(options_.listen, options_.port);
    if (!port.has_value()) {
      return std::unexpected(port.error());
    }
    port_.store(*port, std::memory_order_relaxed);
  }
  return {};
}

Result<void> GridDriver::start() {
  const std::lock_guard lock(mutex_);
  if (life_ != Life::kNew) {
    return fail(ErrorCode::kClosed, "the node was started or stopped before");
  }
  if (Result<void> made = make_manager(); !made.has_value()) {
    manager_.reset();
    return made;
  }
  if (Result<void> started = manager_->start(); !started.has_value()) {
    return started;
  }
  try {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::kSystem, std::string("no thread for the node: ") + error.what());
  }
  life_ = Life::kRunning;
  return {};
}

void GridDriver::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  driver_of_this_thread = this;
  while (!is_stopping_) {
    turn();
  }
  end_all();
  driver_of_this_thread = nullptr;
  thread_id_.store({}, std::memory_order_relaxed);
}

void GridDriver::turn() {
  is_event_begun_ = false;
  if (io_.poll_one() == 0 && !poll_for_a_moment()) {
    const TimePoint asleep = monotonic_now();
    io_.run_one();
    // Until the event began: its handler may have taken long.
    busy_poll_.slept((is_in_turn_ ? core_.now().monotonic : monotonic_now()) - asleep);
  }
  is_event_begun_ = false;
  for (int handled = 1; handled < kHandlersPerTurn && io_.poll_one() > 0; ++handled) {
    is_event_begun_ = false;
  }
  end_turn();
}

// True: an event has come, and was handled.
bool GridDriver::poll_for_a_moment() {
  if (!busy_poll_.begin(monotonic_now())) {
    return false;
  }
  for (bool goes_on = true; goes_on;) {
    ::sched_yield();
    goes_on = busy_poll_.goes_on(monotonic_now());
    if (io_.poll_one() > 0) {
      busy_poll_.found();
      return true;
    }
  }
  return false;
}

void GridDriver::take_mail() {
  std::vector<GridTask> mail;
  {
    const std::lock_guard lock(mutex_);
    mail.swap(mail_);
  }
  begin_turn();
  for (GridTask& task : mail) {
    task();
    task = nullptr;
  }
}

void GridDriver::stop() {
  std::vector<GridTask> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (life_ == Life::kNew) {
      life_ = Life::kJoined;
      dropped.swap(mail_);
    }
  }
  post([this] { is_stopping_ = true; });
}

// What was asked for before the stop came first.
void GridDriver::end_all() {
  take_mail();
  core_.stop("the node has stopped");
  program_.stop();
  end_turn();
  const std::set<std::shared_ptr<GridConnection>> sockets = std::exchange(sockets_, {});
  for (const std::shared_ptr<GridConnection>& socket : sockets) {
    socket->abort("the node has stopped");
  }
  manager_->stop();
  manager_->wait();
  timer_.cancel();
  std::vector<GridTask> dropped;
  {
    const std::lock_guard lock(mutex_);
    life_ = Life::kStopped;
    dropped.swap(mail_);
  }
  changed_.notify_all();
}

void GridDriver::wait() {
  if (is_on_loop()) {
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) {
      thread_.detach();  // it keeps this object until it ends
    }
    return;
  }
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    thread.swap(thread_);
  }
  if (thread.joinable()) {
    thread.join();
    // Their callers are gone, and they have been told to stop.
    if (const std::size_t left = blocking_.stop(kBlockingSlack); left > 0) {
      log(fmt::format("grid: {} threads are left to handlers that do not return", left));
    }
  }
}

void GridDriver::drain(std::chrono::milliseconds timeout) {
  const bool asked =
      dispatch_and_wait([this, timeout] { core_.drain(core_.now().monotonic + timeout); });
  if (!asked || is_on_loop()) {
    return;
  }
  const auto until = std::chrono::steady_clock::now() + timeout + kDrainSlack;
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return is_drained_ || life_ != Life::kRunning; });
}

}  // namespace trunkline::net
