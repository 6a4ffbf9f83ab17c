// SPDX-License-Identifier: Apache-2.0
#include "slow/slow_load.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

namespace trunkline::bench {
namespace {

constexpr const char* kChannel = "slow";
constexpr std::chrono::seconds kConnecting{60};
constexpr std::chrono::seconds kArriving{30};

}  // namespace

Result<void> SlowLoad::connect() {
  const auto open = [this](std::size_t count, int receive_bytes, const char* channel) {
    return clients_.open({.port = options_.port, .receive_bytes = receive_bytes},
                         std::vector<std::string>(count, channel), kConnecting);
  };
  const auto healthy = open(options_.healthy, 0, kChannel);
  const auto stalled = open(options_.stalled, options_.stalled_receive_bytes, kChannel);
  const auto publisher = open_group({.port = options_.port}, std::vector<std::string>(1));
  if (!healthy.has_value() || !stalled.has_value() || !publisher.has_value()) {
    return fail(ErrorCode::kSystem, "not everybody could connect");
  }
  epoch_ = between(healthy->front(), R"("epoch":")", '"');
  subscribers_.assign(options_.healthy + options_.stalled, {.next = 1});
  for (std::size_t who = options_.healthy; who < subscribers_.size(); ++who) {
    clients_.listen(who, false);
  }
  publisher_fd_ = publisher->front().fd;
  clients_.add(publisher_fd_);
  return {};
}

// A thread of its own, which only sends: publications are due whether or not others are being read.
void SlowLoad::publish_on_schedule(std::uint64_t count) {
  const auto began = Clock::now();
  for (std::uint64_t i = 0; i < count && publishing_; ++i) {
    const auto due =
        began + std::chrono::duration_cast<Clock::duration>(
                    std::chrono::duration<double>(static_cast<double>(i) / options_.rate));
    std::this_thread::sleep_until(due);
    std::string frame;
    append_publish(frame, kChannel, published_ - count + i + 1,
                   static_cast<std::uint64_t>(due.time_since_epoch().count()),
                   options_.message_bytes);
    if (::send(publisher_fd_, frame.data(), frame.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(frame.size())) {
      break;  // the connection is lost, which the reading thread sees
    }
  }
  publishing_ = false;
}

template <class Condition>
Result<void> SlowLoad::turn_until(Clock::time_point deadline, Condition condition) {
  while (defect_.empty() && !condition()) {
    if (Clock::now() > deadline) {
      return fail(ErrorCode::kTimeout, "not everything arrived");
    }
    clients_.turn(std::chrono::milliseconds(10));
  }
  return defect_.empty() ? Result<void>{} : fail(ErrorCode::kProtocolError, defect_);
}

Result<Histogram> SlowLoad::run(std::chrono::duration<double> time) {
  latency_.clear();
  const auto count = static_cast<std::uint64_t>(time.count() * options_.rate);
  published_ += count;
  publishing_ = true;
  std::jthread publisher([this, count] { publish_on_schedule(count); });
  const auto done = turn_until(
      Clock::now() + std::chrono::duration_cast<Clock::duration>(time) + kArriving,
      [this] { return !publishing_ && healthy_deliveries_ == published_ * options_.healthy; });
  publishing_ = false;
  return done.has_value() ? Result<Histogram>(latency_) : std::unexpected(done.error());
}

Result<Caught> SlowLoad::release(std::chrono::seconds timeout) {
  const auto began = Clock::now();
  for (std::size_t who = options_.healthy; who < subscribers_.size(); ++who) {
    clients_.listen(who, true);
  }
  const auto done = turn_until(began + timeout, [this] { return caught_up_ == options_.stalled; });
  if (!done.has_value()) {
    return std::unexpected(done.error());
  }
  Caught caught;
  caught.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  caught.lost_max = lost_max_;
  caught.told = static_cast<std::size_t>(std::ranges::count_if(subscribers_, &Subscriber::told));
  caught.complete = options_.stalled - caught.told;
  return caught;
}

void SlowLoad::broken(std::size_t who, std::string_view what) {
  if (defect_.empty()) {
    defect_ =
        fmt::format("{} subscriber {}: {}", is_healthy(who) ? "healthy" : "stalled", who, what);
  }
}

void SlowLoad::take(std::size_t who, const Push& push) {
  Subscriber& subscriber = subscribers_[who];
  if (push.offset != subscriber.next || push.number != push.offset) {
    broken(who, fmt::format("publication {} with offset {} where {} had to come", push.number,
                            push.offset, subscriber.next));
    return;
  }
  ++subscriber.next;
  if (is_healthy(who)) {
    latency_.add(clients_.received_ns() - push.sent_ns);
    ++healthy_deliveries_;
  } else if (push.offset == published_) {
    ++caught_up_;
  }
}

// It is told that something is missing: it comes back where it stood, and learns how much.
void SlowLoad::on_unsubscribed(std::size_t who, std::string_view line) {
  Subscriber& subscriber = subscribers_[who];
  if (number_behind(line, R"("code":)") != 2500 || is_healthy(who)) {
    broken(who, line);
    return;
  }
  subscriber.told = true;
  subscriber.resubscribing = true;
  clients_.send(who, recover_frame(kChannel, epoch_, subscriber.next - 1));
}

void SlowLoad::on_resubscribed(std::size_t who, std::string_view line) {
  Subscriber& subscriber = subscribers_[who];
  subscriber.resubscribing = false;
  if (line.find(R"("recovered":true)") != std::string_view::npos) {
    broken(who, fmt::format("was told of a loss, though the log holds {}", subscriber.next));
    return;
  }
  const auto offset = number_behind(line, R"("offset":)");
  if (!offset.has_value() || *offset != published_) {
    broken(who, line);
    return;
  }
  lost_max_ = std::max(lost_max_, published_ + 1 - subscriber.next);
  subscriber.next = published_ + 1;
  ++caught_up_;
}

void SlowLoad::on_line(std::size_t who, std::string_view line, bool /*alone*/) {
  if (is_publisher(who)) {
    if (line.find("\"error\"") != std::string_view::npos) {
      broken(who, line);
    }
  } else if (line.find(R"(,"unsubscribe":{)") != std::string_view::npos) {
    on_unsubscribed(who, line);
  } else if (subscribers_[who].resubscribing) {
    on_resubscribed(who, line);
  } else if (const auto push = parse_push(line)) {
    take(who, *push);
  } else {
    broken(who, line);
  }
}

void SlowLoad::on_lost(std::size_t who, const std::string& why) {
  broken(who, why);
}

}  // namespace trunkline::bench
