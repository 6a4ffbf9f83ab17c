// SPDX-License-Identifier: Apache-2.0
#include "net/client_loop.h"

#include "net/client_core.h"
#include "ws/frame_reader.h"

#include <boost/asio/post.hpp>

#include <future>
#include <random>
#include <system_error>

namespace trunkline::net {

namespace {

constexpr std::size_t kReadBytes = 64UL * 1024;

// A record of TLS holds no more.
constexpr std::size_t kTlsBytes = 16UL * 1024;

// Handlers between two flushes, so that a busy socket cannot hold back the others' writes.
constexpr int kHandlersPerTurn = 256;

// Flushing a client may fail, which gives it something to flush again.
constexpr int kFlushRounds = 8;

std::uint64_t system_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32U) | device();
}

}  // namespace

ClientLoopCore::ClientLoopCore()
    : io_(1),
      work_(boost::asio::make_work_guard(io_)),
      seeds_(system_seed()),
      random_(system_seed()),
      read_buffer_(kReadBytes + ws::kMessagePadding) {}

ClientLoopCore::~ClientLoopCore() = default;

Result<void> ClientLoopCore::start() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kStopped) {
    return fail(ErrorCode::kClosed, "the client loop has been stopped");
  }
  if (state_ == State::kIdle) {
    try {
      thread_ = std::thread([self = shared_from_this()] { self->run(); });
    } catch (const std::system_error& error) {
      return fail(ErrorCode::kSystem,
                  std::string("no thread for the client loop: ") + error.what());
    }
    state_ = State::kRunning;
  }
  return {};
}

void ClientLoopCore::stop() {
  std::vector<ClientTask> dropped;  // destroyed outside the lock
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::kIdle) {
      state_ = State::kStopped;
      dropped.swap(mail_);
    }
    thread.swap(thread_);
  }
  if (!thread.joinable()) {
    return;
  }
  post([this] { stopping_ = true; });
  if (is_on_loop()) {
    thread.detach();  // it keeps this object until it ends
  } else {
    thread.join();
  }
}

bool ClientLoopCore::post(ClientTask task) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kStopped) {
    return false;
  }
  mail_.push_back(std::move(task));
  if (mail_.size() == 1) {
    boost::asio::post(io_, [this] { take_mail(); });
  }
  return true;
}

void ClientLoopCore::post_and_wait(ClientTask task) {
  std::promise<void> done;
  const std::future<void> future = done.get_future();
  bool is_waited_for = false;
  {
    const std::lock_guard lock(mutex_);
    is_waited_for = state_ == State::kRunning && !is_on_loop();
  }
  // A promise that is destroyed unkept wakes the waiter as well.
  post([task = std::move(task), done = std::move(done)]() mutable {
    task();
    done.set_value();
  });
  if (is_waited_for) {
    future.wait();
  }
}

bool ClientLoopCore::is_on_loop() const {
  return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

std::uint64_t ClientLoopCore::seed() {
  const std::lock_guard lock(mutex_);
  return seeds_.next();
}

Result<std::shared_ptr<const TlsContext>> ClientLoopCore::tls_context(
    const ClientTlsOptions& options) {
  const std::lock_guard lock(tls_mutex_);
  std::erase_if(tls_contexts_, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [of, context] : tls_contexts_) {
    if (std::shared_ptr<const TlsContext> shared = context.lock(); shared && of == options) {
      return shared;
    }
  }
  Result<std::shared_ptr<const TlsContext>> loaded = TlsContext::load_client(options);
  if (loaded.has_value()) {
    tls_contexts_.emplace_back(options, *loaded);
  }
  return loaded;
}

std::span<char> ClientLoopCore::tls_buffer() {
  tls_buffer_.resize(kTlsBytes + ws::kMessagePadding);
  return {tls_buffer_.data(), kTlsBytes};
}

std::span<char> ClientLoopCore::read_buffer() {
  return {read_buffer_.data(), kReadBytes};
}

void ClientLoopCore::end_turn_of(std::shared_ptr<ClientCore> client) {
  touched_.push_back(std::move(client));
}

void ClientLoopCore::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  while (!stopping_) {
    turn();
  }
  end_clients();
  std::vector<ClientTask> dropped;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kStopped;
    dropped.swap(mail_);
  }
  dropped.clear();
  thread_id_.store({}, std::memory_order_relaxed);
}

void ClientLoopCore::turn() {
  io_.run_one();
  for (int handled = 1; handled < kHandlersPerTurn && io_.poll_one() > 0; ++handled) {
  }
  end_turn();
}

void ClientLoopCore::take_mail() {
  std::vector<ClientTask> mail;
  {
    const std::lock_guard lock(mutex_);
    mail.swap(mail_);
  }
  for (ClientTask& task : mail) {
    task();
    task = nullptr;
  }
}

void ClientLoopCore::end_turn() {
  for (int round = 0; round < kFlushRounds && !touched_.empty(); ++round) {
    std::vector<std::shared_ptr<ClientCore>> touched;
    touched.swap(touched_);
    for (const std::shared_ptr<ClientCore>& client : touched) {
      client->end_turn();
    }
  }
  if (!touched_.empty()) {
    boost::asio::post(io_, [] {});  // another turn follows at once
  }
}

// What was posted before stop() comes first.
void ClientLoopCore::end_clients() {
  take_mail();
  const std::vector<ClientCore*> clients(clients_.begin(), clients_.end());
  for (ClientCore* client : clients) {
    if (clients_.contains(client)) {
      client->end_with_loop();
    }
  }
  end_turn();
  touched_.clear();
}

}  // namespace trunkline::net
