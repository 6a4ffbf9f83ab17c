// SPDX-License-Identifier: Apache-2.0
#include "net/flaky_listeners.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace trunkline::net {

namespace {

constexpr std::uint64_t kEnd = UINT64_MAX;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void watch(int poll, int descriptor, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u64 = tag;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
}

void reset(int descriptor) {
  const linger now{1, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(descriptor);
}

void wake(int event) {
  const std::uint64_t one = 1;
  static_cast<void>(::write(event, &one, sizeof one));
}

// Calls `each` with the tag of what is ready, until the end is.
template <class Each>
void poll_until_end(int poll, Each each) {
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<std::size_t>(i)].data.u64 == kEnd) {
        return;
      }
      each(events[static_cast<std::size_t>(i)].data.u64);
    }
  }
}

}  // namespace

FlakyListeners::FlakyListeners(std::size_t count)
    : listeners_(count), poll_(::epoll_create1(EPOLL_CLOEXEC)), end_(::eventfd(0, EFD_CLOEXEC)) {
  watch(poll_, end_, kEnd);
  for (std::size_t i = 0; i < count; ++i) {
    listeners_[i].manner = static_cast<Manner>(i % 4);
    open(listeners_[i]);
  }
  thread_ = std::thread([this] { run(); });
}

FlakyListeners::~FlakyListeners() {
  wake(end_);
  thread_.join();
  for (Listener& listener : listeners_) {
    close(listener);
  }
  for (const int descriptor : accepted_) {
    ::close(descriptor);
  }
  ::close(end_);
  ::close(poll_);
}

// The port stays the same, also of one that refuses: it is bound and does not listen.
void FlakyListeners::open(Listener& listener) {
  listener.descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener.descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(listener.port);
  socklen_t size = sizeof address;
  ::bind(listener.descriptor, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(listener.descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  listener.port = ntohs(address.sin_port);
  if (listener.manner == Manner::kRefuses) {
    return;
  }
  ::listen(listener.descriptor, listener.manner == Manner::kHangs ? 0 : 128);
  if (listener.manner != Manner::kHangs) {
    watch(poll_, listener.descriptor, static_cast<std::uint64_t>(&listener - listeners_.data()));
    return;
  }
  // With a full queue that nobody empties the kernel drops what comes.
  for (int i = 0; i < 2; ++i) {
    const int filler = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ::connect(filler, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    listener.fillers.push_back(filler);
  }
}

void FlakyListeners::close(Listener& listener) {
  for (const int filler : std::exchange(listener.fillers, {})) {
    reset(filler);
  }
  ::close(listener.descriptor);
}

std::string FlakyListeners::next_address() {
  const std::lock_guard lock(mutex_);
  return "127.0.0.1:" + std::to_string(listeners_[next_++ % listeners_.size()].port);
}

void FlakyListeners::change() {
  const std::lock_guard lock(mutex_);
  for (const int descriptor : std::exchange(accepted_, {})) {
    reset(descriptor);
  }
  for (Listener& listener : listeners_) {
    close(listener);
    listener.manner = static_cast<Manner>((static_cast<int>(listener.manner) + 1) % 4);
    open(listener);
  }
}

void FlakyListeners::run() {
  poll_until_end(poll_,
                 [this](std::uint64_t tag) { accept_from(static_cast<std::uint32_t>(tag)); });
}

void FlakyListeners::accept_from(std::uint32_t index) {
  const std::lock_guard lock(mutex_);
  const Listener& listener = listeners_[index];
  const int descriptor =
      ::accept4(listener.descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) {
    return;
  }
  if (listener.manner == Manner::kKeeps) {
    accepted_.push_back(descriptor);
  } else {
    reset(descriptor);
  }
}

ConnectionWatch::ConnectionWatch()
    : poll_(::epoll_create1(EPOLL_CLOEXEC)), end_(::eventfd(0, EFD_CLOEXEC)) {
  watch(poll_, end_, kEnd);
  thread_ = std::thread([this] { run(); });
}

ConnectionWatch::~ConnectionWatch() {
  wake(end_);
  thread_.join();
  ::close(end_);
  ::close(poll_);
}

void ConnectionWatch::add(PeerId id, std::shared_ptr<PeerConnection> connection) {
  const std::lock_guard lock(mutex_);
  watch(poll_, dynamic_cast<PeerSocket&>(*connection).descriptor(), id.value);
  connections_[id.value] = std::move(connection);
}

void ConnectionWatch::drop(PeerId id) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id.value);
  if (found != connections_.end()) {
    ::epoll_ctl(poll_, EPOLL_CTL_DEL, dynamic_cast<PeerSocket&>(*found->second).descriptor(),
                nullptr);
    connections_.erase(found);
  }
}

void ConnectionWatch::run() {
  poll_until_end(poll_, [this](std::uint64_t tag) {
    std::shared_ptr<PeerConnection> ended;
    {
      const std::lock_guard lock(mutex_);
      const auto found = connections_.find(tag);
      ended = found == connections_.end() ? nullptr : found->second;
    }
    if (ended != nullptr) {
      drop(PeerId{tag});
      ended->close("the other end has gone");
    }
  });
}

}  // namespace trunkline::net
