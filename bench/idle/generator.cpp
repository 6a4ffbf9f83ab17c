// SPDX-License-Identifier: Apache-2.0
#include "idle/generator.h"

#include "load/client_set.h"
#include "measure/clock.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace trunkline::bench {
namespace {

// Of one source address; the system's default range of ephemeral ports has a few more.
constexpr std::size_t kPortsOfAnAddress = 28'000;
constexpr std::chrono::seconds kConnecting{300};
constexpr timeval kPatience{310, 0};

static_assert(std::is_trivially_copyable_v<Arrival>);

// The generator's side.
class Subscribers final : private ClientOwner {
 public:
  explicit Subscribers(int descriptor) : descriptor_(descriptor) {}

  int run(const Share& share) {
    if (!connect(share)) {
      return 1;
    }
    next_.assign(share.count, 0);
    report("");
    while (good_) {
      clients_.turn(std::chrono::milliseconds(100));
      if (arrived_ == share.count) {
        report("");
        send(&arrival_, sizeof arrival_);
        arrival_ = {};
        arrived_ = 0;
      }
    }
    return 1;
  }

 private:
  bool connect(const Share& share) {
    for (std::size_t done = 0; done < share.count;) {
      const std::size_t index = share.first + done;
      const std::size_t count =
          std::min(share.count - done, kPortsOfAnAddress - index % kPortsOfAnAddress);
      Endpoint endpoint{.port = share.port};
      if (share.all > kPortsOfAnAddress) {
        endpoint.source = 1 + static_cast<unsigned>(index / kPortsOfAnAddress);
      }
      const auto opened = clients_.open(
          endpoint, std::vector<std::string>(count, Generator::kChannel), kConnecting);
      if (!opened.has_value()) {
        report(fmt::format("after {}: {}", clients_.size(), opened.error().context));
        return false;
      }
      done += count;
    }
    return true;
  }

  void on_line(std::size_t who, std::string_view line, bool /*alone*/) override {
    const auto push = parse_push(line);
    if (!push.has_value() || push->number != next_[who]) {
      report(fmt::format("subscriber {} got what it had not to: {}", who, line));
      return;
    }
    ++next_[who];
    ++arrived_;
    const std::uint64_t latency = clients_.received_ns() - push->sent_ns;
    arrival_.latency.add(latency);
    arrival_.last_ns = std::max(arrival_.last_ns, latency);
  }

  void on_lost(std::size_t who, const std::string& why) override {
    report(fmt::format("subscriber {} was lost: {}", who, why));
  }

  // Empty: all is well.
  void report(const std::string& defect) {
    if (good_) {
      const std::size_t size = defect.size();
      send(&size, sizeof size);
      send(defect.data(), size);
      good_ = defect.empty();
    }
  }

  void send(const void* bytes, std::size_t size) {
    if (size > 0 && ::send(descriptor_, bytes, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
      good_ = false;
    }
  }

  const int descriptor_;
  ClientSet clients_{*this};
  std::vector<std::uint64_t> next_;  // of each: number of the publication that must come
  Arrival arrival_;
  std::size_t arrived_ = 0;
  bool good_ = true;
};

}  // namespace

Result<Generator> Generator::start(const Share& share) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorCode::kSystem, "no socket pair");
  }
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
      ::_exit(1);
    }
    ::close(ends[0]);
    // What the parent owns (the server) must not be ended here.
    ::_exit(Subscribers(ends[1]).run(share));
  }
  ::close(ends[1]);
  ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  Generator generator(pid, ends[0]);
  if (pid < 0) {
    return fail(ErrorCode::kSystem, "no process");
  }
  return generator;
}

Generator::Generator(Generator&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), descriptor_(std::exchange(other.descriptor_, -1)) {}

Generator::~Generator() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

Result<void> Generator::receive(void* out, std::size_t bytes) {
  if (bytes > 0 && ::recv(descriptor_, out, bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) {
    return fail(ErrorCode::kTimeout, "a generator is gone or silent");
  }
  return {};
}

Result<void> Generator::connected() {
  std::size_t size = 0;
  if (const auto received = receive(&size, sizeof size); !received.has_value()) {
    return received;
  }
  std::string defect(size, '\0');
  if (const auto received = receive(defect.data(), size); !received.has_value()) {
    return received;
  }
  return defect.empty() ? Result<void>{} : fail(ErrorCode::kProtocolError, defect);
}

Result<Arrival> Generator::arrived() {
  if (const auto good = connected(); !good.has_value()) {
    return std::unexpected(good.error());
  }
  Arrival arrival;
  if (const auto received = receive(&arrival, sizeof arrival); !received.has_value()) {
    return std::unexpected(received.error());
  }
  return arrival;
}

}  // namespace trunkline::bench
