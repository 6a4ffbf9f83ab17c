// SPDX-License-Identifier: Apache-2.0
//
// Keeps 8 outbound connections among 50 peers on loopback that come and go: some refuse, some reset
// what they accept, some end it after a while. Prints its table twice a second. Ends with an error
// when there were ever more than 8, or when fewer than 8 stand although the peers are well.
//
//   crawler [--seconds N]
#include <trunkline/peers.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using trunkline::PeerId;

constexpr std::size_t kPeers = 50;
constexpr std::size_t kTarget = 8;

// The other side: 50 listeners, polled by the main thread.
class FlakyPeers {
 public:
  FlakyPeers() {
    for (std::size_t i = 0; i < kPeers; ++i) {
      ports_.push_back(open());
    }
  }

  FlakyPeers(const FlakyPeers&) = delete;
  FlakyPeers& operator=(const FlakyPeers&) = delete;

  ~FlakyPeers() {
    for (const int descriptor : listeners_) {
      ::close(descriptor);
    }
    for (const int descriptor : accepted_) {
      ::close(descriptor);
    }
  }

  // Thread: any.
  [[nodiscard]] std::string address(std::size_t index) const {
    return "127.0.0.1:" + std::to_string(ports_[index % kPeers]);
  }

  // Takes what has come; while they are flaky, drops some of it, old and new.
  void turn(bool flaky) {
    for (std::size_t i = 0; i < kPeers; ++i) {
      const int descriptor = ::accept4(listeners_[i], nullptr, nullptr, SOCK_CLOEXEC);
      if (descriptor >= 0 && flaky && random_() % 3 == 0) {
        ::close(descriptor);
      } else if (descriptor >= 0) {
        accepted_.push_back(descriptor);
      }
    }
    if (flaky && !accepted_.empty() && random_() % 20 == 0) {
      std::swap(accepted_[random_() % accepted_.size()], accepted_.back());
      ::close(accepted_.back());
      accepted_.pop_back();
    }
  }

 private:
  // One in five never listens: it refuses.
  std::uint16_t open() {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size);
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    if (listeners_.size() % 5 != 0) {
      ::listen(descriptor, 16);
    }
    listeners_.push_back(descriptor);
    return ntohs(address.sin_port);
  }

  std::vector<std::uint16_t> ports_;
  std::vector<int> listeners_;
  std::vector<int> accepted_;
  std::mt19937 random_{std::random_device{}()};
};

// What the crawler has: it reads nothing, but notices when a peer has gone.
class Connections {
 public:
  void add(PeerId id, std::shared_ptr<trunkline::PeerConnection> connection) {
    const std::lock_guard lock(mutex_);
    open_[id] = std::dynamic_pointer_cast<trunkline::PeerSocket>(connection);
    most_ = std::max(most_, open_.size());
  }

  void remove(PeerId id) {
    const std::lock_guard lock(mutex_);
    open_.erase(id);
  }

  void close_those_that_ended() {
    std::vector<std::shared_ptr<trunkline::PeerSocket>> ended;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, connection] : open_) {
        pollfd one{connection->descriptor(), POLLIN | POLLRDHUP, 0};
        if (::poll(&one, 1, 0) > 0) {
          ended.push_back(connection);
        }
      }
    }
    for (const auto& connection : ended) {
      connection->close("the peer has gone");
    }
  }

  [[nodiscard]] std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return open_.size();
  }

  [[nodiscard]] std::size_t most() const {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<PeerId, std::shared_ptr<trunkline::PeerSocket>> open_;
  std::size_t most_ = 0;
};

void print_table(const trunkline::PeerManager& manager) {
  const trunkline::PeerCounts counts = manager.counts();
  const trunkline::PeerMetrics metrics = manager.metrics();
  std::printf("connected %zu of %zu, dialling %zu | dials %llu, failed %llu, lost %llu%s\n",
              counts.automatic_connected, kTarget, counts.dials_in_flight,
              static_cast<unsigned long long>(metrics.dials),
              static_cast<unsigned long long>(metrics.dials_failed),
              static_cast<unsigned long long>(metrics.disconnects),
              counts.slowed_down ? " | slowed down" : "");
  manager.for_each([](const trunkline::PeerInfo& peer) {
    std::printf("  %6llu  %-10s %-22s %6lld ms  breaker %s\n",
                static_cast<unsigned long long>(peer.id.value),
                std::string(name(peer.state)).c_str(), peer.address.c_str(),
                static_cast<long long>(peer.in_state.count()),
                std::string(name(peer.breaker)).c_str());
  });
  std::fflush(stdout);
}

int seconds_of(int argc, char** argv) {
  int seconds = 5;
  for (int i = 1; i < argc; ++i) {
    if (argv[i] != std::string_view("--seconds")) {
      seconds = std::atoi(argv[i]);
    }
  }
  return std::max(seconds, 1);
}

}  // namespace

int main(int argc, char** argv) {
  FlakyPeers peers;
  Connections connections;
  std::size_t next = 0;
  trunkline::PeerOptions options;
  options.target_outbound = kTarget;
  // Loopback answers in microseconds; in a real network the defaults are right.
  options.retry_start = 50ms;
  options.retry_max = 500ms;
  options.good_after = 200ms;
  options.slow_spacing_max = 100ms;
  options.breaker_open = 200ms;
  options.breaker_open_max = 500ms;
  auto manager = trunkline::PeerManager::create(
      options, {.next_address = [&] { return std::optional(peers.address(next++)); },
                .on_connected =
                    [&](PeerId id, std::shared_ptr<trunkline::PeerConnection> connection) {
                      connections.add(id, std::move(connection));
                    },
                .on_disconnected = [&](PeerId id, std::string_view) { connections.remove(id); }});
  if (!manager.has_value() || !(*manager)->start().has_value()) {
    std::fprintf(stderr, "the connection manager does not start\n");
    return 1;
  }
  const auto flaky_until =
      std::chrono::steady_clock::now() + std::chrono::seconds(seconds_of(argc, argv));
  // Then the peers are well, and the target has to be met; the limit is for a broken manager.
  const auto limit = flaky_until + 30s;
  auto next_table = std::chrono::steady_clock::now();
  for (auto now = next_table; now < flaky_until || (connections.count() != kTarget && now < limit);
       now = std::chrono::steady_clock::now()) {
    peers.turn(now < flaky_until);
    connections.close_those_that_ended();
    if (now >= next_table) {
      print_table(**manager);
      next_table += 500ms;
    }
    std::this_thread::sleep_for(2ms);
  }
  print_table(**manager);
  const bool is_good = connections.count() == kTarget && connections.most() <= kTarget;
  (*manager)->stop();
  (*manager)->wait();
  std::printf("%s: at most %zu connections\n", is_good ? "held" : "not held", connections.most());
  return is_good && connections.count() == 0 ? 0 : 1;
}
