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
#include "fanout/wire.h"
#include "measure/histogram.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64UL * 1024;

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
}

struct Subscriber {
  int fd = -1;
  std::uint64_t next = 0;  // number of the publication that must come
  ws::FrameReader reader;
};

struct InFlight {
  std::uint64_t sent_ns = 0;
  std::size_t copies = 0;
};

class RawLoad final : public Load, private ws::MessageHandler {
 public:
  explicit RawLoad(const LoadOptions& options);
  RawLoad(const RawLoad&) = delete;
  RawLoad& operator=(const RawLoad&) = delete;
  ~RawLoad() override;

  [[nodiscard]] Result<void> connect(std::chrono::seconds timeout) override;
  [[nodiscard]] Result<LoadResult> run(std::chrono::duration<double> time) override;
  [[nodiscard]] Result<void> finish(std::chrono::seconds timeout) override;

 private:
  // The publisher has the last place.
  [[nodiscard]] bool is_publisher(const Subscriber& who) const { return &who == &all_.back(); }

  void add(int fd);
  void turn(std::chrono::milliseconds wait);
  void on_readable(Subscriber& who);
  std::size_t take_known(Subscriber& who, std::span<const char> bytes);
  void deliver(Subscriber& who, std::size_t count);
  void publish(std::size_t count);
  void on_line(std::string_view line);
  void on_push(std::string_view line, bool alone);
  void broken(std::string what);

  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

  const LoadOptions options_;
  int poll_ = -1;
  std::vector<Subscriber> all_;
  Subscriber* current_ = nullptr;  // whose bytes are read
  std::uint64_t now_ns_ = 0;       // when they were
  std::vector<char> buffer_ = std::vector<char>(kReadBytes + ws::kMessagePadding);

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
    : options_(options),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      in_flight_(std::bit_ceil(options.window)) {
  all_.reserve(options.subscribers + 1);
}

RawLoad::~RawLoad() {
  for (const Subscriber& subscriber : all_) {
    ::close(subscriber.fd);
  }
  ::close(poll_);
}

void RawLoad::broken(std::string what) {
  if (defect_.empty()) {
    defect_ = std::move(what);
  }
}

void RawLoad::add(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = all_.size();
  all_.push_back({fd, 0, ws::FrameReader(ws::Role::kClient, {})});
  ::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
}

Result<void> RawLoad::connect(std::chrono::seconds timeout) {
  const auto deadline = Clock::now() + timeout;
  const std::size_t total = options_.subscribers + 1;
  // In groups, so that the server has work while the group's others are waited
  // for, and yet no backlog overflows.
  constexpr std::size_t kGroup = 128;
  while (all_.size() < total) {
    if (Clock::now() > deadline) {
      return fail(ErrorCode::kTimeout, fmt::format("{} of {} connected", all_.size(), total));
    }
    const std::size_t count = std::min(kGroup, total - all_.size());
    // The publisher is the last of all and subscribes to nothing.
    const bool with_publisher = all_.size() + count == total;
    const auto group = open_group(options_.port, count, with_publisher, kChannel);
    if (!group.has_value()) {
      return std::unexpected(group.error());
    }
    for (const int fd : *group) {
      add(fd);
    }
  }
  return {};
}

Result<LoadResult> RawLoad::run(std::chrono::duration<double> time) {
  latency_.clear();
  deliveries_ = 0;
  const auto began = Clock::now();
  const auto end = began + std::chrono::duration_cast<Clock::duration>(time);
  publish(options_.window - (published_ - completed_));
  auto now = began;
  while (now < end && defect_.empty()) {
    turn(std::chrono::milliseconds(50));
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
    turn(std::chrono::milliseconds(50));
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

void RawLoad::turn(std::chrono::milliseconds wait) {
  std::array<epoll_event, 256> events;
  const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(wait.count()));
  for (int i = 0; i < count && defect_.empty(); ++i) {
    on_readable(all_[events[static_cast<std::size_t>(i)].data.u64]);
    // At once and not at the end of the turn: the subject must not idle for the
    // generator's sake.
    if (to_publish_ > 0) {
      publish(std::exchange(to_publish_, 0));
    }
  }
}

void RawLoad::on_readable(Subscriber& who) {
  const ssize_t got = ::recv(who.fd, buffer_.data(), kReadBytes, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      broken("a subscriber lost its connection");
    }
    return;
  }
  now_ns_ = now_ns();
  std::span<char> bytes(buffer_.data(), static_cast<std::size_t>(got));
  if (!is_publisher(who) && who.reader.buffered_bytes() == 0) {
    bytes = bytes.subspan(take_known(who, bytes));
  }
  if (!bytes.empty()) {
    current_ = &who;
    if (const auto read = who.reader.read(bytes, *this); !read.has_value()) {
      broken(read.error().context);
    }
  }
}

// Takes the frames at the front of `bytes` that are the reference's at this
// subscriber's position, and returns their size.
std::size_t RawLoad::take_known(Subscriber& who, std::span<const char> bytes) {
  const Reference::Match match = reference_.match(who.next, bytes);
  deliver(who, match.frames);
  return match.bytes;
}

void RawLoad::deliver(Subscriber& who, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    InFlight& publication = in_flight_[who.next & (in_flight_.size() - 1)];
    latency_.add(now_ns_ - publication.sent_ns);
    // In order for everybody, so publications are completed in order too.
    if (++publication.copies == options_.subscribers) {
      ++completed_;
      to_publish_ += finishing_ ? 0 : 1;
    }
    ++who.next;
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
  // Waits for room, which a subject that reads always makes.
  if (!outgoing_.empty() && ::send(all_.back().fd, outgoing_.data(), outgoing_.size(),
                                   MSG_NOSIGNAL) != static_cast<ssize_t>(outgoing_.size())) {
    broken("the subject does not take publications");
  }
}

bool RawLoad::on_text(std::span<char> message) {
  const std::string_view text(message.data(), message.size());
  const bool alone = text.find('\n') == std::string_view::npos;
  for (std::size_t at = 0; at < text.size() && defect_.empty();) {
    const std::string_view line = text.substr(at, text.find('\n', at) - at);
    if (line.starts_with("{\"push\":")) {
      on_push(line, alone);
    } else {
      on_line(line);
    }
    at += line.size() + 1;
  }
  return defect_.empty();
}

// A ping, or the publisher's reply.
void RawLoad::on_line(std::string_view line) {
  if (line == "{}") {
    const std::string pong = ws::make_masked_frame(ws::Opcode::kText, "{}", {});
    ::send(current_->fd, pong.data(), pong.size(), MSG_NOSIGNAL);
  } else if (!is_publisher(*current_) || line.find("\"error\"") != std::string_view::npos) {
    broken(fmt::format("an unexpected reply: {}", line));
  }
}

void RawLoad::on_push(std::string_view line, bool alone) {
  const auto parsed = parse_push(line);
  if (!parsed.has_value() || is_publisher(*current_)) {
    broken(fmt::format("an unexpected push: {}", line));
    return;
  }
  if (current_->next == 0) {
    first_offset_ = first_offset_ == 0 ? parsed->offset : first_offset_;
  }
  if (parsed->number != current_->next || parsed->offset != first_offset_ + parsed->number) {
    broken(fmt::format("publication {} with offset {} where {} with offset {} had to come",
                       parsed->number, parsed->offset, current_->next,
                       first_offset_ + current_->next));
    return;
  }
  if (const auto known = reference_.frame(parsed->number);
      !known.empty() && !known.ends_with(line)) {
    broken(fmt::format("subscribers got publication {} in different words", parsed->number));
    return;
  }
  reference_.learn(parsed->number, alone ? line : std::string_view{});
  deliver(*current_, 1);
}

bool RawLoad::on_binary(std::span<char> /*message*/) {
  broken("a binary message");
  return false;
}

bool RawLoad::on_ping(std::string_view payload) {
  const std::string pong = ws::make_masked_frame(ws::Opcode::kPong, payload, {});
  ::send(current_->fd, pong.data(), pong.size(), MSG_NOSIGNAL);
  return true;
}

bool RawLoad::on_pong(std::string_view /*payload*/) {
  return true;
}

bool RawLoad::on_close(ws::CloseCode code, std::string_view reason) {
  broken(fmt::format("closed with {}: {}", code, reason));
  return false;
}

}  // namespace

std::unique_ptr<Load> make_raw_load(const LoadOptions& options) {
  return std::make_unique<RawLoad>(options);
}

}  // namespace trunkline::bench
