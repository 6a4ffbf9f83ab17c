// SPDX-License-Identifier: Apache-2.0
#include "storm/storm_load.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::bench {
namespace {

constexpr std::chrono::seconds kTimeout{60};

}  // namespace

StormLoad::StormLoad(const StormOptions& options)
    : options_(options), clients_(options.clients), epochs_(options.channels) {}

void StormLoad::broken(std::size_t who, std::string_view what) {
  if (defect_.empty()) {
    defect_ = fmt::format("client {} of channel {}: {}", who, channel_of(who), what);
  }
}

Result<void> StormLoad::connect() {
  std::vector<std::string> channels;
  for (std::size_t who = 0; who < options_.clients; ++who) {
    channels.push_back(name(channel_of(who)));
  }
  const auto replies = connections_.open({.port = options_.port}, channels, kTimeout);
  if (!replies.has_value()) {
    return std::unexpected(replies.error());
  }
  for (std::size_t who = 0; who < std::min(options_.clients, options_.channels); ++who) {
    epochs_[who] = between((*replies)[who], R"("epoch":")", '"');
  }
  return {};
}

Result<void> StormLoad::publish(std::size_t count) {
  for (std::size_t channel = 0; channel < options_.channels; ++channel) {
    std::string frames;
    for (std::uint64_t i = 1; i <= count; ++i) {
      append_publish(frames, name(channel), head_ + i, now_ns(), options_.message_bytes);
    }
    if (const auto done = publish_all(options_.port, frames, count); !done.has_value()) {
      return done;
    }
  }
  return {};
}

Result<void> StormLoad::turn_until_complete() {
  const auto deadline = Clock::now() + kTimeout;
  while (complete_ < options_.clients && defect_.empty()) {
    if (Clock::now() > deadline) {
      return fail(ErrorCode::kTimeout,
                  fmt::format("{} of {} clients have everything", complete_, options_.clients));
    }
    connections_.turn(std::chrono::milliseconds(50));
  }
  return defect_.empty() ? Result<void>{} : fail(ErrorCode::kProtocolError, defect_);
}

Result<void> StormLoad::publish_live(std::size_t count) {
  if (const auto published = publish(count); !published.has_value()) {
    return published;
  }
  head_ += count;
  complete_ = 0;
  return turn_until_complete();
}

void StormLoad::drop() {
  connections_.close_all();
}

Result<void> StormLoad::publish_missed(std::size_t count) {
  const auto published = publish(count);
  head_ += count;
  return published;
}

Result<Histogram> StormLoad::come_back() {
  complete_ = 0;
  times_.clear();
  began_ns_ = now_ns();
  for (Client& client : clients_) {
    client.subscribed = false;
    const auto fd = begin_socket({.port = options_.port});
    if (!fd.has_value()) {
      return std::unexpected(fd.error());
    }
    connections_.add_opening(*fd, options_.port);
  }
  if (const auto done = turn_until_complete(); !done.has_value()) {
    return std::unexpected(done.error());
  }
  return times_;
}

void StormLoad::on_open(std::size_t who) {
  const std::size_t channel = channel_of(who);
  connections_.send(who, connect_frame() + recover_frame(name(channel), epochs_[channel],
                                                         clients_[who].next - 1));
}

void StormLoad::take(std::size_t who, const Push& push) {
  Client& client = clients_[who];
  if (push.offset != client.next || push.number != push.offset || push.offset > head_) {
    broken(who, fmt::format("publication {} with offset {} where {} had to come", push.number,
                            push.offset, client.next));
    return;
  }
  ++client.next;
  if (push.offset == head_) {
    ++complete_;
    times_.add(connections_.received_ns() - began_ns_);
  }
}

void StormLoad::on_subscribed(std::size_t who, std::string_view line) {
  const std::string epoch = fmt::format(R"("epoch":"{}")", epochs_[channel_of(who)]);
  if (line.find(R"("recovered":true)") == std::string_view::npos ||
      line.find(epoch) == std::string_view::npos) {
    broken(who, line);
    return;
  }
  clients_[who].subscribed = true;
  for_each_publication(line, [this, who](const Push& push) { take(who, push); });
}

void StormLoad::on_line(std::size_t who, std::string_view line, bool /*alone*/) {
  if (line.starts_with(R"({"id":1,"connect":{)")) {
    return;
  }
  if (!clients_[who].subscribed) {
    on_subscribed(who, line);
  } else if (const auto push = parse_push(line)) {
    take(who, *push);
  } else {
    broken(who, line);
  }
}

void StormLoad::on_lost(std::size_t who, const std::string& why) {
  broken(who, why);
}

}  // namespace trunkline::bench
