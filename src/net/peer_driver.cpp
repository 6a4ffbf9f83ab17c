// SPDX-License-Identifier: Apache-2.0
#include "net/peer_driver.h"

#include "net/clock.h"
#include "net/peer_dial.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <system_error>

namespace trunkline::net {

namespace asio = boost::asio;

namespace {

Random system_random() {
  std::random_device device;
  return Random((static_cast<std::uint64_t>(device()) << 32U) | device());
}

// Runs the program's code; false when it threw.
template <class Run>
bool guarded(Run run) {
  try {
    run();
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

// An answer that is owed. Answering may happen on any thread and once; being destroyed before is an
// answer, too. It keeps the driver, and the driver's thread does not end before it.
class PeerDriver::Ticket {
 public:
  using Answer = std::move_only_function<void(PeerDriver&, std::optional<Error>)>;

  Ticket(std::shared_ptr<PeerDriver> driver, Answer dropped)
      : driver_(std::move(driver)), dropped_(std::move(dropped)) {
    ++driver_->unanswered_;
  }

  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  ~Ticket() {
    if (driver_ != nullptr) {
      post([dropped = std::move(dropped_)](PeerDriver& driver) mutable {
        dropped(driver, Error{ErrorCode::kUnavailable, "the dial was dropped"});
      });
    }
  }

  // Runs `with` on the loop's thread; only the first call does.
  void post(std::move_only_function<void(PeerDriver&)> with) {
    if (driver_ == nullptr) {
      return;
    }
    const std::shared_ptr<PeerDriver> driver = std::move(driver_);
    driver_ = nullptr;
    asio::post(driver->io_, [driver, with = std::move(with)]() mutable {
      with(*driver);
      driver->answered();
    });
  }

 private:
  std::shared_ptr<PeerDriver> driver_;
  Answer dropped_;
};

PeerDriver::PeerDriver(const PeerOptions& options, PeerHooks hooks)
    : hooks_(std::move(hooks)),
      io_(1),
      machine_(options, system_random(), monotonic_now()),
      guard_(asio::make_work_guard(io_)),
      timer_(io_) {}

PeerDriver::~PeerDriver() = default;

Result<PeerId> PeerDriver::step(peers::Event event) {
  const std::lock_guard lock(mutex_);
  Result<PeerId> answer = machine_.step(std::move(event), monotonic_now(), effects_);
  if (!is_work_posted_) {
    is_work_posted_ = true;
    asio::post(io_, [this] { work(); });
  }
  return answer;
}

Result<void> PeerDriver::restore(std::string_view text) {
  const std::lock_guard lock(mutex_);
  return machine_.restore(text, now());
}

void PeerDriver::work() {
  peers::Effects effects;
  {
    const std::lock_guard lock(mutex_);
    effects.swap(effects_);
    is_work_posted_ = false;
  }
  for (peers::Effect& effect : effects) {
    std::visit([this](auto& one) { perform(one); }, effect);
  }
  arm_timer();
}

void PeerDriver::arm_timer() {
  const std::optional<TimePoint> wakeup =
      read([](const peers::Machine& machine) { return machine.next_wakeup(); });
  if (!wakeup.has_value() || has_stopped_) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(wakeup->time_since_epoch()));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      step(peers::Wake{});
    }
  });
}

void PeerDriver::perform(peers::NeedAddress& /*need*/) {
  std::optional<std::string> address;
  guarded([&] { address = hooks_.next_address ? hooks_.next_address() : std::nullopt; });
  step(peers::AddressOffered{std::move(address)});
}

void PeerDriver::perform(peers::Resolve& resolve) {
  const peers::DialId dial = resolve.dial;
  auto ticket = std::make_unique<Ticket>(
      shared_from_this(), [dial](PeerDriver& driver, std::optional<Error> error) {
        driver.resolve_done(dial, std::unexpected(std::move(*error)));
      });
  PeerResolveDone done = [ticket = std::move(ticket),
                          dial](Result<std::vector<PeerEndpoint>> result) {
    ticket->post([dial, result = std::move(result)](PeerDriver& driver) mutable {
      driver.resolve_done(dial, std::move(result));
    });
  };
  if (hooks_.resolve) {
    guarded([&] { hooks_.resolve(resolve.host, resolve.port, std::move(done)); });
  } else {
    resolve_name(io_, resolve.host, resolve.port, std::move(done));
  }
}

void PeerDriver::resolve_done(peers::DialId dial, Result<std::vector<PeerEndpoint>> result) {
  step(peers::Resolved{dial, std::move(result)});
}

void PeerDriver::perform(peers::StartAttempt& start) {
  const AttemptKey key{start.dial, start.attempt};
  auto ticket = std::make_unique<Ticket>(
      shared_from_this(), [key](PeerDriver& driver, std::optional<Error> error) {
        driver.attempt_done(key, std::unexpected(std::move(*error)));
      });
  PeerDialDone done = [ticket = std::move(ticket),
                       key](Result<std::shared_ptr<PeerConnection>> result) {
    ticket->post([key, result = std::move(result)](PeerDriver& driver) mutable {
      driver.attempt_done(key, std::move(result));
    });
  };
  std::move_only_function<void()>& give_up =
      attempts_[key];  // the answer is posted: it comes later
  if (hooks_.dial) {
    guarded([&] { give_up = hooks_.dial(start.endpoint, std::move(done)); });
  } else {
    give_up = dial_tcp(io_, start.endpoint, std::move(done));
  }
}

void PeerDriver::attempt_done(AttemptKey key, Result<std::shared_ptr<PeerConnection>> result) {
  attempts_.erase(key);
  if (!result.has_value() || *result == nullptr) {
    step(peers::AttemptFailed{key.first, key.second,
                              result.has_value()
                                  ? Error{ErrorCode::kInternal, "the dial gave nothing"}
                                  : result.error()});
    return;
  }
  const Result<PeerId> id = step(peers::AttemptSucceeded{key.first, key.second});
  if (id.has_value()) {
    adopt(*id, key.first, std::move(*result));
  } else {
    (*result)->close(id.error().context);
  }
}

// The Surface that gives it to the program waits in effects_ until this returns.
void PeerDriver::adopt(PeerId id, peers::DialId dial, std::shared_ptr<PeerConnection> connection) {
  connections_[id.value] = connection;
  connection->on_close([weak = weak_from_this(), id, dial](std::string_view reason) {
    if (const std::shared_ptr<PeerDriver> driver = weak.lock()) {
      driver->step(peers::Closed{id, dial, std::string(reason)});
    }
  });
}

void PeerDriver::perform(peers::AbortDial& abort) {
  for (auto it = attempts_.lower_bound({abort.dial, 0});
       it != attempts_.end() && it->first.first == abort.dial;) {
    std::move_only_function<void()> give_up = std::move(it->second);
    it = attempts_.erase(it);
    if (give_up) {
      guarded([&] { give_up(); });
    }
  }
}

void PeerDriver::perform(peers::Surface& surface) {
  const auto found = connections_.find(surface.id.value);
  if (found == connections_.end()) {
    return;
  }
  const std::shared_ptr<PeerConnection> connection = found->second;
  const auto& hook = surface.kind == PeerKind::kInbound ? hooks_.on_accept : hooks_.on_connected;
  if (hook && !guarded([&] { hook(surface.id, connection); })) {
    connection->close("a hook threw");
  }
}

void PeerDriver::perform(peers::CloseConnection& close) {
  const auto found = connections_.extract(close.id.value);
  if (!found.empty()) {
    found.mapped()->close(close.reason);
    if (hooks_.on_disconnected) {
      guarded([&] { hooks_.on_disconnected(close.id, close.reason); });
    }
  }
}

void PeerDriver::perform(peers::PauseListeners& /*pause*/) {
  for (const auto& listener : listeners_) {
    listener->hold();
  }
}

void PeerDriver::perform(peers::ResumeListeners& /*resume*/) {
  for (const auto& listener : listeners_) {
    listener->go_on();
  }
}

void PeerDriver::perform(peers::Tell& tell) {
  if (hooks_.on_event) {
    guarded([&] { hooks_.on_event(tell.event); });
  }
}

void PeerDriver::perform(peers::Stopped& /*stopped*/) {
  has_stopped_ = true;
  for (const auto& listener : listeners_) {
    listener->close();
  }
  timer_.cancel();
  end_if_done();
}

void PeerDriver::answered() {
  --unanswered_;
  end_if_done();
}

// With nothing owed and nothing to be posted the loop runs out of work.
void PeerDriver::end_if_done() {
  if (has_stopped_ && unanswered_ == 0) {
    guard_.reset();
  }
}

void PeerDriver::accepted(int descriptor) {
  auto connection = std::make_shared<PeerSocket>(descriptor);
  asio::ip::tcp::endpoint remote;
  auto size = static_cast<socklen_t>(remote.capacity());
  if (::getpeername(descriptor, remote.data(), &size) != 0) {
    return;  // it has gone
  }
  remote.resize(size);
  const Result<PeerId> id = step(peers::Accepted{peer_endpoint(remote)});
  if (id.has_value()) {
    adopt(*id, {}, std::move(connection));
  }
  // At once, so that a limit that is reached now holds for the next one in the queue.
  work();
}

}  // namespace trunkline::net
