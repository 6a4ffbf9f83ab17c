// SPDX-License-Identifier: Apache-2.0
#include "fanout/load.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace trunkline::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMessageBytes = 128;
// Connections under way at once: a server's backlog is not what is measured.
constexpr std::size_t kConnectingMax = 256;
constexpr const char* kChannel = "bench";

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
}

// A JSON string of kMessageBytes with the publication's number and time.
std::string message(std::uint64_t number) {
  std::string text = fmt::format("\"{}:{}:", number, now_ns());
  text.resize(kMessageBytes - 1, 'x');
  return text + '"';
}

}  // namespace

Load::Load(std::uint16_t port, std::size_t subscribers, std::size_t window)
    : port_(port), subscribers_(subscribers), window_(window), copies_(window * 2 + 1) {}

Load::~Load() {
  // All at once on their own loop, where nothing can interfere.
  on_loop([this] {
    publisher_.reset();
    clients_.clear();
  });
  loop_.stop();
}

void Load::on_loop(std::move_only_function<void()> function) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  const bool posted = loop_.run_on_loop([&] {
    function();
    const std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done || !posted; });
}

void Load::broken(const std::string& what) {
  if (defect_.empty()) {
    defect_ = what;
  }
}

void Load::connect_next() {
  if (clients_.size() == subscribers_) {
    return;
  }
  ClientOptions options;
  options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", port_);
  options.connect_timeout = std::chrono::seconds(30);
  options.command_timeout = std::chrono::seconds(30);
  clients_.push_back(std::make_unique<Client>(loop_, options, ClientHandlers{}));
  Client& client = *clients_.back();
  SubscriptionHandlers handlers;
  handlers.on_subscribed = [this](const SubscribedContext& context) {
    if (context.was_recovering) {
      broken("a subscriber lost its connection");
    }
    connect_next();
    const std::lock_guard lock(mutex_);
    ++subscribed_;
    changed_.notify_all();
  };
  handlers.on_publication = [this](const Publication& publication) { received(publication); };
  handlers.on_error = [this](const ClientError& error) { broken(error.context); };
  client.subscribe(kChannel, {}, std::move(handlers));
  client.connect();
}

Result<void> Load::connect(std::chrono::seconds timeout) {
  if (const auto started = loop_.start(); !started.has_value()) {
    return started;
  }
  on_loop([this] {
    ClientOptions options;
    options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", port_);
    publisher_ = std::make_unique<Client>(loop_, options, ClientHandlers{});
    publisher_->connect();
    for (std::size_t i = 0; i < kConnectingMax; ++i) {
      connect_next();
    }
  });
  std::unique_lock lock(mutex_);
  const bool all = changed_.wait_for(lock, timeout, [this] { return subscribed_ >= subscribers_; });
  return all ? Result<void>{}
             : fail(ErrorCode::kTimeout, fmt::format("{} of {} subscribers in {} s", subscribed_,
                                                     subscribers_, timeout.count()));
}

void Load::publish_one() {
  const std::uint64_t number = published_++;
  copies_[number % copies_.size()] = 0;
  publisher_->publish(kChannel, message(number), [this](const ClientResult<void>& done) {
    if (!done.has_value()) {
      broken("a publication was refused: " + done.error().context);
    }
  });
}

void Load::received(const Publication& publication) {
  const char* at = publication.data.data() + 1;
  const char* end = publication.data.data() + publication.data.size();
  std::uint64_t number = 0;
  std::uint64_t sent = 0;
  at = std::from_chars(at, end, number).ptr;
  std::from_chars(at + 1, end, sent);
  latency_.add(now_ns() - sent);
  ++deliveries_;
  if (++copies_[number % copies_.size()] == subscribers_) {
    publish_one();
  }
}

void Load::begin() {
  on_loop([this] {
    for (std::size_t i = 0; i < window_; ++i) {
      publish_one();
    }
  });
}

void Load::reset() {
  on_loop([this] {
    latency_.clear();
    deliveries_ = 0;
    began_ = Clock::now();
  });
}

Result<LoadResult> Load::result() {
  LoadResult result;
  std::string defect;
  on_loop([&] {
    result = {.deliveries = deliveries_,
              .seconds = std::chrono::duration<double>(Clock::now() - began_).count(),
              .p50_ns = latency_.percentile(0.5),
              .p99_ns = latency_.percentile(0.99)};
    defect = defect_;
  });
  if (!defect.empty()) {
    return fail(ErrorCode::kProtocolError, defect);
  }
  if (result.deliveries == 0) {
    return fail(ErrorCode::kTimeout, "nothing was delivered");
  }
  return result;
}

}  // namespace trunkline::bench
