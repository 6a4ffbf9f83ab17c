// SPDX-License-Identifier: Apache-2.0
//
// The loop behind <trunkline/client.h>'s ClientLoop: one thread, one io_context, and what its
// clients share. Work is done in turns: take what has happened, then write every client's output in
// one go. Calls from other threads come through one mailbox.
#pragma once

#include <trunkline/client.h>
#include <trunkline/error.h>

#include "core/random.h"
#include "net/tls.h"
#include "session/client_codec.h"
#include "ws/deflate.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace trunkline::net {

class ClientCore;

using ClientTask = std::move_only_function<void()>;

// Shared by the ClientLoop, its clients and the thread, so that none has to outlive another.
class ClientLoopCore : public std::enable_shared_from_this<ClientLoopCore> {
 public:
  ClientLoopCore();
  ClientLoopCore(const ClientLoopCore&) = delete;
  ClientLoopCore& operator=(const ClientLoopCore&) = delete;
  ~ClientLoopCore();

  // Thread: any.
  [[nodiscard]] Result<void> start();
  void stop();
  // False when the loop has stopped; the task is destroyed then. A task that was taken is run, or
  // destroyed when the loop stops before.
  bool post(ClientTask task);
  // Posts the task and waits until it has run or was destroyed; does not wait when that could only
  // be for ever: on the loop's thread, or when there is no thread yet.
  void post_and_wait(ClientTask task);
  [[nodiscard]] bool is_on_loop() const;
  // A new one for each client.
  [[nodiscard]] std::uint64_t seed();
  // Shared by the clients with equal options; the files are read again when none of them lives any
  // more. Errors: as TlsContext::load_client.
  [[nodiscard]] Result<std::shared_ptr<const TlsContext>> tls_context(
      const ClientTlsOptions& options);

  // Everything below: loop's thread.

  [[nodiscard]] boost::asio::io_context& io() { return io_; }

  [[nodiscard]] session::ServerLineDecoder& decoder() { return decoder_; }

  [[nodiscard]] Random& random() { return random_; }

  // For one receive; ws::kMessagePadding readable bytes follow it.
  [[nodiscard]] std::span<char> read_buffer();
  // The same for what TLS makes of it.
  [[nodiscard]] std::span<char> tls_buffer();

  // States of zlib, for connections that agreed to permessage-deflate.
  [[nodiscard]] ws::DeflateScratch& deflate_scratch() { return deflate_scratch_; }

  void add(ClientCore& client) { clients_.insert(&client); }

  void remove(ClientCore& client) { clients_.erase(&client); }

  // Whether nothing will be waited for any more.
  [[nodiscard]] bool is_stopping() const { return stopping_; }

  // Calls the client's end_turn at the end of this turn.
  void end_turn_of(std::shared_ptr<ClientCore> client);

 private:
  enum class State : std::uint8_t { kIdle, kRunning, kStopped };

  void run();
  void turn();
  void take_mail();
  void end_turn();
  void end_clients();

  // Before the io_context, whose end is that of the last connections. Owned by the loop's thread.
  ws::DeflateScratch deflate_scratch_{ws::CompressionSettings{}};

  // Constant after construction
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;

  // Shared
  mutable std::mutex mutex_;
  State state_ = State::kIdle;
  std::vector<ClientTask> mail_;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;
  Random seeds_;
  std::mutex tls_mutex_;  // apart from the other: files are read under it
  std::vector<std::pair<ClientTlsOptions, std::weak_ptr<const TlsContext>>> tls_contexts_;

  // Owned by the loop's thread
  bool stopping_ = false;
  session::ServerLineDecoder decoder_;
  Random random_;
  std::vector<char> read_buffer_;
  std::vector<char> tls_buffer_;  // empty before the first use
  std::unordered_set<ClientCore*> clients_;
  std::vector<std::shared_ptr<ClientCore>> touched_;
};

}  // namespace trunkline::net
