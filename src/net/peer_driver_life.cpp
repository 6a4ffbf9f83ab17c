// SPDX-License-Identifier: Apache-2.0
//
// Beginning and end of the driver's thread.
#include "net/peer_driver.h"

#include <unistd.h>

#include <system_error>

namespace trunkline::net {

Result<std::uint16_t> PeerDriver::listen(const std::string& address, std::uint16_t port) {
  const std::lock_guard lock(life_mutex_);
  if (life_ != Life::kNew) {
    return fail(ErrorCode::kUnavailable, "listen before the start");
  }
  auto listener = std::make_unique<Listener>(
      io_, Listener::Handlers{
               .accepted = [this](int descriptor, const AddressKey&) { accepted(descriptor); },
               .excess =
                   [this, index = listeners_.size()](int descriptor, const AddressKey&) {
                     ::close(descriptor);
                     listeners_[index]->descriptor_closed();
                   },
               .log =
                   [this](std::string_view line) {
                     peers::Tell tell{{.kind = PeerEventKind::kInboundRefused,
                                       .peer = PeerKind::kInbound,
                                       .text = std::string(line)}};
                     perform(tell);
                   }});
  const Result<std::uint16_t> opened = listener->open(address, port, 0);
  if (opened.has_value()) {
    listeners_.push_back(std::move(listener));
  }
  return opened;
}

Result<void> PeerDriver::start() {
  const std::lock_guard lock(life_mutex_);
  if (life_ != Life::kNew) {
    return fail(ErrorCode::kClosed, "started or stopped before");
  }
  for (const auto& listener : listeners_) {
    listener->start();
  }
  try {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::kSystem,
                std::string("no thread for the connection manager: ") + error.what());
  }
  life_ = Life::kRunning;
  changed_.notify_all();
  const Result<PeerId> started = step(peers::Start{});
  return started.has_value() ? Result<void>{} : std::unexpected(started.error());
}

void PeerDriver::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  io_.run();
  listeners_.clear();
  thread_id_.store({}, std::memory_order_relaxed);
}

bool PeerDriver::is_on_loop() const {
  return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

void PeerDriver::stop() {
  {
    const std::lock_guard lock(life_mutex_);
    if (life_ == Life::kNew) {
      life_ = Life::kEnded;
      listeners_.clear();
      changed_.notify_all();
    }
  }
  // A second one is refused, which is right.
  static_cast<void>(step(peers::Stop{}));
}

void PeerDriver::wait() {
  if (is_on_loop()) {
    return;
  }
  std::unique_lock lock(life_mutex_);
  while (life_ != Life::kEnded) {
    if (life_ != Life::kRunning) {
      changed_.wait(lock);  // for a start, a stop, or another one's join
      continue;
    }
    life_ = Life::kJoining;
    lock.unlock();
    thread_.join();
    lock.lock();
    life_ = Life::kEnded;
    changed_.notify_all();
  }
}

void PeerDriver::leave() {
  stop();
  if (!is_on_loop()) {
    wait();
    return;
  }
  const std::lock_guard lock(life_mutex_);
  if (life_ == Life::kRunning) {
    thread_.detach();  // it keeps this object until it ends
    life_ = Life::kEnded;
    changed_.notify_all();
  }
}

}  // namespace trunkline::net
