// SPDX-License-Identifier: Apache-2.0
//
// What stands behind a Client: its session, its connection and its user's callbacks.
//
// Lifetime: the Client lets go with detach(). From then on no callback runs, whatever is still
// under way; the object itself goes when the last operation has let go of it, which may be the
// callback inside of which the Client was destroyed.
#pragma once

#include <trunkline/client.h>

#include "net/client_connection.h"
#include "net/client_loop.h"
#include "session/client_session.h"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace trunkline::net {

class ClientCore;

// One subscription's callbacks.
class ClientSubscription final : public session::SubscriptionEvents {
 public:
  ClientSubscription(ClientCore& client, session::SubscriptionId id, std::string channel,
                     std::function<void(std::string_view, TokenDone)> get_token,
                     SubscriptionHandlers handlers);

  void on_subscribing(std::uint32_t code, std::string_view reason) override;
  void on_subscribed(const SubscribedContext& context) override;
  void on_publication(const Publication& publication) override;
  void on_gap(const Gap& gap) override;
  void on_join(const ClientInfo& info) override;
  void on_leave(const ClientInfo& info) override;
  void on_error(const ClientError& error) override;
  void on_token_needed(std::uint64_t ticket) override;
  void on_unsubscribed(std::uint32_t code, std::string_view reason) override;

 private:
  ClientCore& client_;
  const session::SubscriptionId id_;
  const std::string channel_;
  std::function<void(std::string_view, TokenDone)> get_token_;
  SubscriptionHandlers handlers_;
};

class ClientCore final : public std::enable_shared_from_this<ClientCore>,
                         private session::ClientTransport,
                         private session::ClientEvents,
                         private ClientConnectionOwner {
 public:
  ClientCore(std::shared_ptr<ClientLoopCore> loop, ClientOptions options, ClientHandlers handlers);
  ~ClientCore() override = default;

  // Thread: any.

  // Once, after construction.
  void attach();
  // See above; waits for a callback that is running on the loop's thread.
  void detach();
  // Runs fn(core) on the loop's thread, unless the client has been let go.
  template <class Function>
  void post(Function function);

  [[nodiscard]] std::uint64_t next_subscription_id() { return ++last_subscription_id_; }

  // Everything below: loop's thread.

  void connect();
  void subscribe(session::SubscriptionId id, std::string channel, SubscriptionOptions options,
                 SubscriptionHandlers handlers);

  [[nodiscard]] session::ClientSession& session() { return session_; }
  // Calls a function of the user's, unless the client has been let go.
  template <class Function, class... Arguments>
  void call(Function& function, Arguments&&... arguments);
  // The same for a command's `done`, as a function that the session may keep.
  template <class T>
  [[nodiscard]] ClientDone<T> guarded(ClientDone<T> done);
  [[nodiscard]] TokenDone token_answer(std::uint64_t ticket);
  void end_subscription(session::SubscriptionId id, std::uint32_t code, std::string_view reason,
                        SubscriptionHandlers& handlers);

  // For the loop.
  void end_turn();
  void end_with_loop();

 private:
  void touch();
  void arm_timer();
  void release();
  [[nodiscard]] Result<void> check_options();

  // session::ClientTransport
  void open() override;
  void send_text(std::string_view text) override;
  void close(std::uint16_t code, std::string_view reason) override;
  [[nodiscard]] std::size_t unsent_bytes() const override;

  // session::ClientEvents
  void on_connecting(std::uint32_t code, std::string_view reason) override;
  void on_connected(std::string_view client, std::string_view version) override;
  void on_disconnected(std::uint32_t code, std::string_view reason) override;
  void on_message(std::string_view data) override;
  void on_error(const ClientError& error) override;
  void on_token_needed(std::uint64_t ticket) override;
  void on_server_subscribed(std::string_view channel, const SubscribedContext& context) override;
  void on_server_publication(std::string_view channel, const Publication& publication) override;
  void on_server_gap(std::string_view channel, const Gap& gap) override;
  void on_server_join(std::string_view channel, const ClientInfo& info) override;
  void on_server_leave(std::string_view channel, const ClientInfo& info) override;
  void on_server_unsubscribed(std::string_view channel, std::uint32_t code,
                              std::string_view reason) override;

  // ClientConnectionOwner
  void on_connection_open() override;
  void on_connection_message(std::string_view text) override;
  void on_connection_closed(ws::CloseCode code, std::string_view reason) override;

  // Constant after construction
  const std::shared_ptr<ClientLoopCore> loop_;
  ClientOptions options_;

  // Shared
  std::atomic<bool> is_muted_ = false;
  std::atomic<std::uint64_t> last_subscription_id_ = 0;

  // Owned by the loop's thread
  ClientHandlers handlers_;
  session::ClientSessionOptions session_options_;
  Result<ClientTarget> target_;
  session::ClientSession session_;
  std::shared_ptr<ClientConnection> connection_;
  std::unordered_map<session::SubscriptionId, std::unique_ptr<ClientSubscription>> subscriptions_;
  boost::asio::steady_timer timer_;
  TimePoint armed_for_ = TimePoint::max();
  int call_depth_ = 0;       // callbacks of the user's that are running
  bool is_touched_ = false;  // end_turn will be called
  bool has_thrown_ = false;  // a callback threw: the client ends at the end of the turn
  bool is_attached_ = false;
};

template <class Function>
void ClientCore::post(Function function) {
  loop_->post([self = shared_from_this(), function = std::move(function)]() mutable {
    if (!self->is_muted_) {
      function(*self);
      self->touch();
    }
  });
}

template <class Function, class... Arguments>
void ClientCore::call(Function& function, Arguments&&... arguments) {
  if (is_muted_ || !function) {
    return;
  }
  ++call_depth_;
  try {
    function(std::forward<Arguments>(arguments)...);
  } catch (...) {
    has_thrown_ = true;
    touch();
  }
  --call_depth_;
}

template <class T>
ClientDone<T> ClientCore::guarded(ClientDone<T> done) {
  return
      [this, done = std::move(done)](const ClientResult<T>& result) mutable { call(done, result); };
}

}  // namespace trunkline::net
