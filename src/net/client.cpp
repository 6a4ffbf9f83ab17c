// SPDX-License-Identifier: Apache-2.0
#include <trunkline/client.h>

#include "net/client_core.h"
#include "net/clock.h"

namespace trunkline {

ClientLoop::ClientLoop() : core_(std::make_shared<net::ClientLoopCore>()) {}

ClientLoop::~ClientLoop() {
  core_->stop();
}

Result<void> ClientLoop::start() {
  return core_->start();
}

void ClientLoop::stop() {
  core_->stop();
}

bool ClientLoop::run_on_loop(std::move_only_function<void()> fn) {
  return core_->post(std::move(fn));
}

bool ClientLoop::is_on_loop() const {
  return core_->is_on_loop();
}

void Subscription::unsubscribe() {
  if (const std::shared_ptr<net::ClientCore> client = client_.lock()) {
    client->post([id = id_](net::ClientCore& core) {
      core.session().unsubscribe(session::SubscriptionId{id}, net::monotonic_now());
    });
  }
}

Client::Client(ClientLoop& loop, ClientOptions options, ClientHandlers handlers)
    : core_(
          std::make_shared<net::ClientCore>(loop.core_, std::move(options), std::move(handlers))) {
  core_->attach();
}

Client::~Client() {
  core_->detach();
}

void Client::connect() {
  core_->post([](net::ClientCore& core) { core.connect(); });
}

void Client::disconnect() {
  core_->post([](net::ClientCore& core) {
    core.session().disconnect(DisconnectedCode::kDisconnectCalled, "disconnect called");
  });
}

Subscription Client::subscribe(std::string channel, SubscriptionOptions options,
                               SubscriptionHandlers handlers) {
  Subscription subscription;
  subscription.client_ = core_;
  subscription.id_ = core_->next_subscription_id();
  subscription.channel_ = channel;
  core_->post([id = subscription.id_, channel = std::move(channel), options = std::move(options),
               handlers = std::move(handlers)](net::ClientCore& core) mutable {
    core.subscribe(session::SubscriptionId{id}, std::move(channel), std::move(options),
                   std::move(handlers));
  });
  return subscription;
}

void Client::publish(std::string channel, std::string json, ClientDone<void> done) {
  core_->post([channel = std::move(channel), json = std::move(json),
               done = std::move(done)](net::ClientCore& core) mutable {
    core.session().publish(channel, json, core.guarded(std::move(done)), net::monotonic_now());
  });
}

void Client::rpc(std::string method, std::string json, ClientDone<RpcResult> done) {
  core_->post([method = std::move(method), json = std::move(json),
               done = std::move(done)](net::ClientCore& core) mutable {
    core.session().rpc(method, json, core.guarded(std::move(done)), net::monotonic_now());
  });
}

void Client::history(std::string channel, HistoryOptions options, ClientDone<HistoryResult> done) {
  core_->post([channel = std::move(channel), options = std::move(options),
               done = std::move(done)](net::ClientCore& core) mutable {
    core.session().history(channel, options, core.guarded(std::move(done)), net::monotonic_now());
  });
}

void Client::presence(std::string channel, ClientDone<PresenceResult> done) {
  core_->post(
      [channel = std::move(channel), done = std::move(done)](net::ClientCore& core) mutable {
        core.session().presence(channel, core.guarded(std::move(done)), net::monotonic_now());
      });
}

void Client::presence_stats(std::string channel, ClientDone<PresenceStats> done) {
  core_->post(
      [channel = std::move(channel), done = std::move(done)](net::ClientCore& core) mutable {
        core.session().presence_stats(channel, core.guarded(std::move(done)), net::monotonic_now());
      });
}

void Client::send(std::string json, ClientDone<void> done) {
  core_->post([json = std::move(json), done = std::move(done)](net::ClientCore& core) mutable {
    core.session().send(json, core.guarded(std::move(done)));
  });
}

}  // namespace trunkline
