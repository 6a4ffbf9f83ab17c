// SPDX-License-Identifier: Apache-2.0
#include <trunkline/server.h>

#include "server/composition.h"
#include "server/core.h"
#include "server/page.h"

#include <utility>

namespace trunkline {

Server::Server(std::unique_ptr<server::Core> core) : core_(std::move(core)) {}

Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(ServerOptions options) {
  if (const Result<void> pages = server::check_pages(options.pages); !pages.has_value()) {
    return std::unexpected(pages.error());
  }
  Result<server::ServerConfig> config = server::effective_config(options);
  if (!config.has_value()) {
    return std::unexpected(config.error());
  }
  return std::unique_ptr<Server>(
      new Server(std::make_unique<server::Core>(std::move(*config), std::move(options))));
}

Result<void> Server::start() {
  return core_->start();
}

std::uint16_t Server::port() const {
  return core_->runtime().port();
}

std::string Server::url() const {
  return core_->url();
}

Result<void> Server::reload_certificate() {
  return core_->reload_certificate();
}

void Server::stop(std::optional<std::chrono::milliseconds> timeout) {
  core_->stop(timeout.has_value() ? Duration(*timeout) : core_->config().shutdown_timeout);
}

Hub& Server::hub() {
  return core_->hub();
}

void Server::on_connect(ConnectHandler handler) {
  core_->handlers().connect = std::move(handler);
}

void Server::on_subscribe(std::string prefix, SubscribeHandler handler) {
  core_->handlers().subscribe.emplace_back(std::move(prefix), std::move(handler));
}

void Server::on_publish(std::string prefix, PublishHandler handler) {
  core_->handlers().publish.emplace_back(std::move(prefix), std::move(handler));
}

void Server::on_rpc(std::string method, RpcHandler handler) {
  core_->handlers().rpc.insert_or_assign(std::move(method), std::move(handler));
}

void Server::on_job(std::string method, JobHandler handler) {
  core_->handlers().jobs.insert_or_assign(
      std::move(method), std::make_shared<const server::JobMethod>(
                             server::JobMethod{.function = std::move(handler), .coroutine = {}}));
}

void Server::on_job(std::string method, JobCoroutine handler) {
  core_->handlers().jobs.insert_or_assign(
      std::move(method), std::make_shared<const server::JobMethod>(
                             server::JobMethod{.function = {}, .coroutine = std::move(handler)}));
}

void Server::on_refresh(RefreshHandler handler) {
  core_->handlers().refresh = std::move(handler);
}

void Server::on_message(MessageHandler handler) {
  core_->handlers().message = std::move(handler);
}

void Server::on_disconnect(DisconnectHandler handler) {
  core_->handlers().disconnect = std::move(handler);
}

bool Server::post_work(std::move_only_function<void(bool stopped)> work) {
  return core_->workers().post(work);
}

}  // namespace trunkline
