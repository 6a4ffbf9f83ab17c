// SPDX-License-Identifier: Apache-2.0
#include <trunkline/client.h>

#include "fanout/load.h"
#include "measure/clock.h"
#include "measure/histogram.h"

#include <fmt/format.h>

#include <charconv>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::bench {

namespace {

// Connections under way at once: a server's backlog is not what is measured.
constexpr std::size_t kConnectingMax = 256;

// A JSON string of `bytes` with the publication's number and time, and words that differ from
// publication to publication.
std::string message(std::uint64_t number, std::size_t bytes) {
  std::string text = fmt::format("\"{}:{}:", number, now_ns());
  for (std::uint64_t word = number; text.size() < bytes; word = word * 6364136223846793005U + 1) {
    text += fmt::format("value {} ", word >> 54U);
  }
  text.resize(bytes - 1);
  return text + '"';
}

class ClientLoad final : public Load {
 public:
  explicit ClientLoad(const LoadOptions& options)
      : options_(options), copies_(options.window * 2 + 1) {}

  ClientLoad(const ClientLoad&) = delete;
  ClientLoad& operator=(const ClientLoad&) = delete;
  ~ClientLoad() override;

  [[nodiscard]] Result<void> connect(std::chrono::seconds timeout) override;
  [[nodiscard]] Result<LoadResult> run(std::chrono::duration<double> time) override;
  [[nodiscard]] Result<void> finish(std::chrono::seconds timeout) override;

 private:
  void connect_next();
  void received(const Publication& publication);
  void publish_one();
  void broken(const std::string& what);
  // Runs on the loop and waits for it.
  void on_loop(std::move_only_function<void()> function);

  const LoadOptions options_;
  ClientLoop loop_;
  std::unique_ptr<Client> publisher_;
  std::vector<std::unique_ptr<Client>> clients_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t subscribed_ = 0;  // guarded
  bool quiet_ = false;          // guarded: everything has arrived

  // The loop's.
  std::vector<std::size_t> copies_;  // of each publication, by its number modulo the size
  std::uint64_t published_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t deliveries_ = 0;
  Histogram latency_;
  Clock::time_point began_;
  bool finishing_ = false;
  std::string defect_;
};

ClientLoad::~ClientLoad() {
  // All at once on their own loop, where nothing can interfere.
  on_loop([this] {
    publisher_.reset();
    clients_.clear();
  });
  loop_.stop();
}

void ClientLoad::on_loop(std::move_only_function<void()> function) {
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

void ClientLoad::broken(const std::string& what) {
  if (defect_.empty()) {
    defect_ = what;
  }
}

void ClientLoad::connect_next() {
  if (clients_.size() == options_.subscribers) {
    return;
  }
  ClientOptions options;
  options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", options_.port);
  options.compression = options_.compression;
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

Result<void> ClientLoad::connect(std::chrono::seconds timeout) {
  if (const auto started = loop_.start(); !started.has_value()) {
    return started;
  }
  on_loop([this] {
    ClientOptions options;
    options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", options_.port);
    publisher_ = std::make_unique<Client>(loop_, options, ClientHandlers{});
    publisher_->connect();
    for (std::size_t i = 0; i < kConnectingMax; ++i) {
      connect_next();
    }
  });
  std::unique_lock lock(mutex_);
  const bool all =
      changed_.wait_for(lock, timeout, [this] { return subscribed_ >= options_.subscribers; });
  return all ? Result<void>{}
             : fail(ErrorCode::kTimeout, fmt::format("{} of {} subscribers in {} s", subscribed_,
                                                     options_.subscribers, timeout.count()));
}

void ClientLoad::publish_one() {
  const std::uint64_t number = published_++;
  copies_[number % copies_.size()] = 0;
  publisher_->publish(kChannel, message(number, options_.message_bytes),
                      [this](const ClientResult<void>& done) {
                        if (!done.has_value()) {
                          broken("a publication was refused: " + done.error().context);
                        }
                      });
}

void ClientLoad::received(const Publication& publication) {
  const char* at = publication.data.data() + 1;
  const char* end = publication.data.data() + publication.data.size();
  std::uint64_t number = 0;
  std::uint64_t sent = 0;
  at = std::from_chars(at, end, number).ptr;
  std::from_chars(at + 1, end, sent);
  latency_.add(now_ns() - sent);
  ++deliveries_;
  if (++copies_[number % copies_.size()] != options_.subscribers) {
    return;
  }
  ++completed_;
  if (!finishing_) {
    publish_one();
  } else if (completed_ == published_) {
    const std::lock_guard lock(mutex_);
    quiet_ = true;
    changed_.notify_all();
  }
}

Result<LoadResult> ClientLoad::run(std::chrono::duration<double> time) {
  on_loop([this] {
    latency_.clear();
    deliveries_ = 0;
    began_ = Clock::now();
    while (published_ - completed_ < options_.window) {
      publish_one();
    }
  });
  std::this_thread::sleep_for(time);
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

Result<void> ClientLoad::finish(std::chrono::seconds timeout) {
  on_loop([this] {
    finishing_ = true;
    const std::lock_guard lock(mutex_);
    quiet_ = completed_ == published_;
  });
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, timeout, [this] { return quiet_; })) {
    return fail(ErrorCode::kTimeout, "a publication never reached everybody");
  }
  return {};
}

}  // namespace

std::unique_ptr<Load> make_client_load(const LoadOptions& options) {
  return std::make_unique<ClientLoad>(options);
}

}  // namespace trunkline::bench
