// SPDX-License-Identifier: Apache-2.0
//
// The connection manager on real sockets.
#include <trunkline/peers.h>

#include "net/flaky_listeners.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::net {
namespace {

using namespace std::chrono_literals;

// What hooks report and the test waits for. The time only keeps a broken test from hanging.
class Signal {
 public:
  void notify() {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, condition);
  }

  template <class Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

PeerOptions quick() {
  PeerOptions options;
  options.target_outbound = 0;
  options.dial_timeout = 200ms;
  options.retry_start = 5ms;
  options.retry_max = 50ms;
  options.good_after = 20ms;
  options.slow_spacing_max = 10ms;
  options.breaker_open = 10ms;
  options.breaker_open_max = 50ms;
  options.feeler_interval = 20ms;
  return options;
}

std::unique_ptr<PeerManager> make(const PeerOptions& options, PeerHooks hooks) {
  auto manager = PeerManager::create(options, std::move(hooks));
  EXPECT_TRUE(manager.has_value());
  return std::move(*manager);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// A connection that notes when it is ended.
class FakeConnection final : public PeerConnection {
 public:
  explicit FakeConnection(std::atomic<int>& ended) : ended_(ended) {}

 protected:
  void shut_down() override { ++ended_; }

 private:
  std::atomic<int>& ended_;
};

int dial_loopback(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return descriptor;
}

TEST(PeerManager, HoldsItsTargetAmong200FlakyListeners) {
  const std::size_t before = open_descriptors();
  {
    constexpr std::size_t kTarget = 8;
    constexpr int kRounds = 12;
    FlakyListeners listeners(200);
    ConnectionWatch watch;
    Signal signal;
    std::set<std::uint64_t> open;
    std::size_t most = 0;
    PeerOptions options = quick();
    options.target_outbound = kTarget;
    const auto manager =
        make(options, {.next_address = [&] { return std::optional(listeners.next_address()); },
                       .on_connected =
                           [&](PeerId id, std::shared_ptr<PeerConnection> connection) {
                             watch.add(id, std::move(connection));
                             signal.change([&] {
                               open.insert(id.value);
                               most = std::max(most, open.size());
                             });
                           },
                       .on_disconnected =
                           [&](PeerId id, std::string_view) {
                             watch.drop(id);
                             signal.change([&] { EXPECT_EQ(open.erase(id.value), 1U); });
                           }});
    ASSERT_TRUE(manager->start().has_value());
    for (int round = 0; round < kRounds; ++round) {
      ASSERT_TRUE(signal.wait([&] { return open.size() == kTarget; })) << round;
      listeners.change();
    }
    manager->stop();
    manager->wait();
    EXPECT_TRUE(open.empty());
    EXPECT_LE(most, kTarget);
    EXPECT_GT(manager->metrics().dials_failed, 0U);
    EXPECT_EQ(manager->counts().requests, 0U);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(PeerManager, MayBeStoppedInsideAHook) {
  FlakyListeners listeners(1);
  Signal signal;
  int ended = 0;
  std::unique_ptr<PeerManager> manager;
  manager = make(quick(), {.on_connected =
                               [&](PeerId, std::shared_ptr<PeerConnection>) {
                                 manager->stop();
                                 manager->wait();  // returns at once
                               },
                           .on_disconnected =
                               [&](PeerId, std::string_view reason) {
                                 EXPECT_EQ(reason, "stopped");
                                 ++ended;
                               }});
  ASSERT_TRUE(manager->connect({.address = listeners.next_address()}).has_value());
  ASSERT_TRUE(manager->start().has_value());
  manager->wait();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(manager->connect({.address = "127.0.0.1:1"}).error().code, ErrorCode::kClosed);
}

TEST(PeerManager, MayBeDestroyedInsideAHook) {
  FlakyListeners listeners(1);
  Signal signal;
  bool destroyed = false;
  auto manager = std::make_shared<std::unique_ptr<PeerManager>>();
  *manager = make(quick(), {.on_connected = [&, manager](PeerId, auto) {
                    manager->reset();
                    signal.change([&] { destroyed = true; });
                  }});
  ASSERT_TRUE((*manager)->connect({.address = listeners.next_address()}).has_value());
  ASSERT_TRUE((*manager)->start().has_value());
  EXPECT_TRUE(signal.wait([&] { return destroyed; }));
}

TEST(PeerManager, ADialThatWasCancelledNeverSurfaces) {
  Signal signal;
  std::optional<PeerDialDone> done;
  std::atomic<int> given_up{0};
  std::atomic<int> ended{0};
  std::atomic<int> surfaced{0};
  const auto manager = make(quick(), {.dial =
                                          [&](const PeerEndpoint&, PeerDialDone answer) {
                                            signal.change([&] { done.emplace(std::move(answer)); });
                                            return [&given_up] { ++given_up; };
                                          },
                                      .on_connected = [&](PeerId, auto) { ++surfaced; }});
  ASSERT_TRUE(manager->start().has_value());
  const auto id = manager->connect({.address = "192.0.2.1:80", .permanent = true});
  ASSERT_TRUE(signal.wait([&] { return done.has_value(); }));
  ASSERT_TRUE(manager->cancel(*id).has_value());
  (*done)(std::make_shared<FakeConnection>(ended));
  manager->stop();
  manager->wait();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(given_up, 1);
  EXPECT_EQ(surfaced, 0);
}

TEST(PeerManager, WaitWaitsForADialThatIsStillOwed) {
  Signal signal;
  std::optional<PeerDialDone> done;
  bool given_up = false;
  const auto manager = make(quick(), {.dial = [&](const PeerEndpoint&, PeerDialDone answer) {
                              signal.change([&] { done.emplace(std::move(answer)); });
                              return [&] { signal.change([&] { given_up = true; }); };
                            }});
  ASSERT_TRUE(manager->start().has_value());
  ASSERT_TRUE(manager->connect({.address = "192.0.2.1:80"}).has_value());
  ASSERT_TRUE(signal.wait([&] { return done.has_value(); }));
  manager->stop();
  ASSERT_TRUE(signal.wait([&] { return given_up; }));
  std::thread later([&] { done.reset(); });  // dropped: an answer, too
  manager->wait();
  later.join();
}

TEST(PeerManager, AnAnswerThatIsDroppedIsAFailure) {
  Signal signal;
  int failed = 0;
  const auto manager =
      make(quick(), {.dial = [](const PeerEndpoint&, PeerDialDone) { return [] {}; },
                     .on_event =
                         [&](const PeerEvent& event) {
                           signal.change([&] { failed += event.to == PeerState::kFailing; });
                         }});
  ASSERT_TRUE(manager->start().has_value());
  ASSERT_TRUE(manager->connect({.address = "192.0.2.1:80", .permanent = true}).has_value());
  EXPECT_TRUE(signal.wait([&] { return failed >= 3; }));
}

TEST(PeerManager, NamesAreResolvedAndTheirAddressesTriedInTurn) {
  FlakyListeners listeners(4);
  const std::string good = listeners.next_address();
  static_cast<void>(listeners.next_address());
  const std::string refuses = listeners.next_address();
  Signal signal;
  std::string remote;
  std::unique_ptr<PeerManager> manager;
  manager = make(
      quick(),
      {.resolve =
           [&](std::string_view host, std::uint16_t, PeerResolveDone done) {
             EXPECT_EQ(host, "host.example");
             done(std::vector{parse_endpoint(refuses).value(), parse_endpoint(good).value()});
           },
       .on_connected = [&](PeerId id,
                           auto) { signal.change([&] { remote = manager->info(id)->remote; }); }});
  ASSERT_TRUE(manager->start().has_value());
  ASSERT_TRUE(manager->connect({.address = "host.example:80"}).has_value());
  ASSERT_TRUE(signal.wait([&] { return !remote.empty(); }));
  EXPECT_EQ(remote, good);
}

TEST(PeerManager, ListenersPauseAtTheLimitAndGoOn) {
  Signal signal;
  std::vector<std::shared_ptr<PeerConnection>> accepted;
  bool paused = false;
  PeerOptions options = quick();
  options.inbound_max = 2;
  options.evict_inbound = false;
  const auto manager =
      make(options,
           {.on_accept =
                [&](PeerId, std::shared_ptr<PeerConnection> connection) {
                  signal.change([&] { accepted.push_back(std::move(connection)); });
                },
            .on_event =
                [&](const PeerEvent& event) {
                  signal.change([&] { paused |= event.kind == PeerEventKind::kListenersPaused; });
                }});
  const auto port = manager->listen("127.0.0.1", 0);
  ASSERT_TRUE(port.has_value());
  ASSERT_TRUE(manager->start().has_value());
  std::vector<int> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(dial_loopback(*port));
  }
  ASSERT_TRUE(signal.wait([&] { return paused && accepted.size() == 2; }));
  EXPECT_EQ(manager->metrics().refused_full, 0U);
  accepted[0]->close();
  ASSERT_TRUE(signal.wait([&] { return accepted.size() == 3; }));
  EXPECT_EQ(manager->counts().inbound, 2U);
  manager->stop();
  manager->wait();
  for (const int client : clients) {
    ::close(client);
  }
}

TEST(PeerManager, AHookThatThrowsClosesItsConnectionOnly) {
  FlakyListeners listeners(1);
  Signal signal;
  std::string reason;
  const auto manager = make(
      quick(), {.on_connected = [](PeerId, auto) { throw std::runtime_error("user"); },
                .on_disconnected =
                    [&](PeerId, std::string_view why) { signal.change([&] { reason = why; }); }});
  ASSERT_TRUE(manager->connect({.address = listeners.next_address()}).has_value());
  ASSERT_TRUE(manager->start().has_value());
  ASSERT_TRUE(signal.wait([&] { return !reason.empty(); }));
  EXPECT_EQ(reason, "a hook threw");
}

TEST(PeerManager, ManyThreadsMayAskAtOnce) {
  FlakyListeners listeners(40);
  const auto manager = make(quick(), {});
  ASSERT_TRUE(manager->start().has_value());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) {
        const auto id = manager->connect({.address = listeners.next_address(), .permanent = true});
        manager->for_each([](const PeerInfo&) {});
        if (id.has_value() && k % 2 == 0) {
          EXPECT_TRUE(manager->remove(*id).has_value());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  manager->stop();
  manager->wait();
  EXPECT_EQ(manager->counts().requests, 0U);
}

TEST(PeerManager, WhatIsSavedIsDialledFirst) {
  FlakyListeners listeners(1);
  const std::string address = listeners.next_address();
  Signal signal;
  bool connected = false;
  PeerOptions options = quick();
  options.target_outbound = 1;
  const auto manager = make(
      options, {.on_connected = [&](PeerId, auto) { signal.change([&] { connected = true; }); }});
  ASSERT_TRUE(
      manager->restore("trunkline-peers 1 0\naddress " + address + " 0 5 5 up\n").has_value());
  ASSERT_TRUE(manager->start().has_value());
  ASSERT_TRUE(signal.wait([&] { return connected; }));
  EXPECT_TRUE(manager->save().contains(address));
  EXPECT_EQ(manager->restore("trunkline-peers 1 0\n").error().code, ErrorCode::kClosed);
}

TEST(PeerManager, OptionsThatCannotBeAreRefused) {
  EXPECT_EQ(PeerManager::create({.dials_in_flight_max = 0}, {}).error().code, ErrorCode::kConfig);
}

}  // namespace
}  // namespace trunkline::net
