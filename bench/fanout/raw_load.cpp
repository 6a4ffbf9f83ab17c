// SPDX-License-Identifier: Apache-2.0
//
// A load that costs less than its subject. The client library decodes every
// publication for every subscriber; at window 16 and beyond that is several
// times what the server spends on it, so the table would be about the client
// (bench/README.md has the figures). Here a publication is decoded once, by
// whichever subscriber gets it first, and its frame joins a reference: the
// bytes that everybody else must get too. For them a received buffer is
// compared with the reference at their position, all frames of it at once. That
// is cheaper and also the stricter check: every byte. Whatever does not match
// (a ping, a frame cut in two) goes through the room's strict reader.
#include "fanout/load.h"
#include "fanout/reference.h"
#include "load/client_set.h"
#include "load/wire.h"
#include "measure/clock.h"
#include "measure/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::bench {
namespace {

struct InFlight {
  std::uint64_t sent_ns = 0;
  std::size_t copies = 0;
};

class RawLoad final : public Load, private ClientOwner {
 public:
  explicit RawLoad(const LoadOptions& options);

  [[nodiscard]] Result<void> connect(std::chrono::seconds timeout) override;
  [[nodiscard]] Result<LoadResult> run(std::chrono::duration<double> time) override;
  [[nodiscard]] Result<void> finish(std::chrono::seconds timeout) override;

 private:
  // The publisher has the last place.
  [[nodiscard]] bool is_publisher(std::size_t who) const { return who == options_.subscribers; }

  void deliver(std::size_t who, std::size_t count);
  void publish(std::size_t count);
  void on_push(std::size_t who, std::string_view line, bool alone);
  void broken(std::string what);

  std::size_t on_frames(std::size_t who, std::span<const char> bytes) override;
  void on_line(std::size_t who, std::string_view line, bool alone) override;
  void on_received() override;
  void on_lost(std::size_t who, const std::string& why) override;

  const LoadOptions options_;
  ClientSet clients_{*this};
  std::vector<std::uint64_t> next_;  // of each subscriber: number of the publication that must come

  Reference reference_;
  std::vector<InFlight> in_flight_;  // by number modulo the size, a power of two
  std::uint64_t published_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t first_offset_ = 0;  // of publication 0
  std::size_t to_publish_ = 0;
  bool finishing_ = false;
  std::string outgoing_;

  std::uint64_t deliveries_ = 0;
  Histogram latency_;
  std::string defect_;
};

RawLoad::RawLoad(const LoadOptions& options)
    : options_(options), next_(options.subscribers), in_flight_(std::bit_ceil(options.window)) {}

void RawLoad::broken(std::string what) {
  if (defect_.empty()) {
    defect_ = std::move(what);
  }
}

Result<void> RawLoad::connect(std::chrono::seconds timeout) {
  std::vector<std::string> channels(options_.subscribers, kChannel);
  channels.emplace_back();  // the publisher subscribes to nothing
  const auto opened = clients_.open({.port = options_.port}, channels, timeout);
  return opened.has_value() ? Result<void>{} : std::unexpected(opened.error());
}

Result<LoadResult> RawLoad::run(std::chrono::duration<double> time) {
  latency_.clear();
  deliveries_ = 0;
  const auto began = Clock::now();
  const auto end = began + std::chrono::duration_cast<Clock::duration>(time);
  publish(options_.window - (published_ - completed_));
  auto now = began;
  while (now < end && defect_.empty()) {
    clients_.turn(std::chrono::milliseconds(50));
    now = Clock::now();
  }
  if (!defect_.empty()) {
    return fail(ErrorCode::kProtocolError, defect_);
  }
  if (deliveries_ == 0) {
    return fail(ErrorCode::kTimeout, "nothing was delivered");
  }
  return LoadResult{.deliveries = deliveries_,
                    .seconds = std::chrono::duration<double>(now - began).count(),
                    .p50_ns = latency_.percentile(0.5),
                    .p99_ns = latency_.percentile(0.99)};
}

Result<void> RawLoad::finish(std::chrono::seconds timeout) {
  finishing_ = true;
  const auto deadline = Clock::now() + timeout;
  while (completed_ < published_ && defect_.empty() && Clock::now() < deadline) {
    clients_.turn(std::chrono::milliseconds(50));
  }
  if (!defect_.empty()) {
    return fail(ErrorCode::kProtocolError, defect_);
  }
  if (completed_ < published_) {
    return fail(ErrorCode::kTimeout,
                fmt::format("{} publications never reached everybody", published_ - completed_));
  }
  return {};
}

// At once and not at the end of the turn: the subject must not idle for the generator's sake.
void RawLoad::on_received() {
  if (to_publish_ > 0 && defect_.empty()) {
    publish(std::exchange(to_publish_, 0));
  }
}

// Takes the frames at the front of `bytes` that are the reference's at this
// subscriber's position.
std::size_t RawLoad::on_frames(std::size_t who, std::span<const char> bytes) {
  if (is_publisher(who)) {
    return 0;
  }
  const Reference::Match match = reference_.match(next_[who], bytes);
  deliver(who, match.frames);
  return match.bytes;
}

void RawLoad::deliver(std::size_t who, std::size_t count) {
  std::uint64_t& next = next_[who];
  for (std::size_t i = 0; i < count; ++i) {
    InFlight& publication = in_flight_[next & (in_flight_.size() - 1)];
    latency_.add(clients_.received_ns() - publication.sent_ns);
    // In order for everybody, so publications are completed in order too.
    if (++publication.copies == options_.subscribers) {
      ++completed_;
      to_publish_ += finishing_ ? 0 : 1;
    }
    ++next;
  }
  deliveries_ += count;
  reference_.release(completed_);
}

void RawLoad::publish(std::size_t count) {
  outgoing_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = published_++;
    InFlight& publication = in_flight_[number & (in_flight_.size() - 1)];
    publication = {now_ns(), 0};
    append_publish(outgoing_, kChannel, number, publication.sent_ns, kMessageBytes);
  }
  if (!outgoing_.empty()) {
    clients_.send(options_.subscribers, outgoing_);
  }
}

void RawLoad::on_line(std::size_t who, std::string_view line, bool alone) {
  if (line.starts_with("{\"push\":")) {
    on_push(who, line, alone);
  } else if (!is_publisher(who) || line.find("\"error\"") != std::string_view::npos) {
    broken(fmt::format("an unexpected reply: {}", line));
  }
}

void RawLoad::on_push(std::size_t who, std::string_view line, bool alone) {
  const auto parsed = parse_push(line);
  if (!parsed.has_value() || is_publisher(who)) {
    broken(fmt::format("an unexpected push: {}", line));
    return;
  }
  if (next_[who] == 0) {
    first_offset_ = first_offset_ == 0 ? parsed->offset : first_offset_;
  }
  if (parsed->number != next_[who] || parsed->offset != first_offset_ + parsed->number) {
    broken(fmt::format("publication {} with offset {} where {} with offset {} had to come",
                       parsed->number, parsed->offset, next_[who], first_offset_ + next_[who]));
    return;
  }
  if (const auto known = reference_.frame(parsed->number);
      !known.empty() && !known.ends_with(line)) {
    broken(fmt::format("subscribers got publication {} in different words", parsed->number));
    return;
  }
  reference_.learn(parsed->number, alone ? line : std::string_view{});
  deliver(who, 1);
}

void RawLoad::on_lost(std::size_t /*who*/, const std::string& why) {
  broken("a connection was lost: " + why);
}

}  // namespace

std::unique_ptr<Load> make_raw_load(const LoadOptions& options) {
  return std::make_unique<RawLoad>(options);
}

}  // namespace trunkline::bench
