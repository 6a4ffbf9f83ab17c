// SPDX-License-Identifier: Apache-2.0
#include <trunkline/peers.h>

#include "net/clock.h"
#include "net/peer_driver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace trunkline {

namespace {

Result<void> without_id(const Result<PeerId>& answer) {
  return answer.has_value() ? Result<void>{} : std::unexpected(answer.error());
}

}  // namespace

void PeerConnection::close(std::string_view reason) {
  std::function<void(std::string_view)> told;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) {
      return;
    }
    is_closed_ = true;
    reason_ = reason;
    told.swap(told_);
  }
  shut_down();
  if (told) {
    told(reason);
  }
}

bool PeerConnection::is_closed() const {
  const std::lock_guard lock(mutex_);
  return is_closed_;
}

void PeerConnection::on_close(std::function<void(std::string_view)> told) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_closed_) {
      told_ = std::move(told);
      return;
    }
  }
  told(reason_);
}

PeerSocket::~PeerSocket() {
  ::close(descriptor_);
}

void PeerSocket::shut_down() {
  ::shutdown(descriptor_, SHUT_RDWR);
}

Result<std::unique_ptr<PeerManager>> PeerManager::create(PeerOptions options, PeerHooks hooks) {
  if (const Result<void> checked = peers::check_options(options); !checked.has_value()) {
    return std::unexpected(checked.error());
  }
  return std::unique_ptr<PeerManager>(
      new PeerManager(std::make_shared<net::PeerDriver>(options, std::move(hooks))));
}

PeerManager::PeerManager(std::shared_ptr<net::PeerDriver> driver) : driver_(std::move(driver)) {}

PeerManager::~PeerManager() {
  driver_->leave();
}

Result<std::uint16_t> PeerManager::listen(const std::string& address, std::uint16_t port) {
  return driver_->listen(address, port);
}

Result<void> PeerManager::restore(std::string_view text) {
  return driver_->restore(text);
}

std::string PeerManager::save() const {
  return driver_->read([](const peers::Machine& machine) { return machine.save(net::now()); });
}

Result<void> PeerManager::start() {
  return driver_->start();
}

void PeerManager::stop() {
  driver_->stop();
}

void PeerManager::wait() {
  driver_->wait();
}

Result<PeerId> PeerManager::connect(PeerRequest request) {
  return driver_->step(peers::Connect{std::move(request)});
}

Result<void> PeerManager::disconnect(PeerId id) {
  return without_id(driver_->step(peers::Disconnect{id}));
}

Result<void> PeerManager::cancel(PeerId id) {
  return without_id(driver_->step(peers::Cancel{id}));
}

Result<void> PeerManager::remove(PeerId id) {
  return without_id(driver_->step(peers::Remove{id}));
}

Result<void> PeerManager::protect(PeerId id) {
  return without_id(driver_->step(peers::Protect{id, true}));
}

Result<void> PeerManager::unprotect(PeerId id) {
  return without_id(driver_->step(peers::Protect{id, false}));
}

Result<void> PeerManager::set_merit(PeerId id, PeerMerit merit) {
  return without_id(driver_->step(peers::SetMerit{id, merit}));
}

Result<void> PeerManager::learn(std::vector<std::string> addresses) {
  return without_id(driver_->step(peers::Learn{std::move(addresses)}));
}

Result<void> PeerManager::penalize(std::string host, double lasting, double decaying) {
  return without_id(driver_->step(peers::Penalize{std::move(host), lasting, decaying}));
}

Result<void> PeerManager::penalize(PeerId id, double lasting, double decaying) {
  return without_id(driver_->step(peers::PenalizePeer{id, lasting, decaying}));
}

Result<void> PeerManager::ban(std::string host, std::optional<std::chrono::milliseconds> duration) {
  return without_id(driver_->step(peers::Ban{std::move(host), duration}));
}

Result<void> PeerManager::forgive(std::string host) {
  return without_id(driver_->step(peers::Forgive{std::move(host)}));
}

Result<void> PeerManager::allow(std::string host) {
  return without_id(driver_->step(peers::Allow{std::move(host)}));
}

double PeerManager::score(std::string_view host) const {
  return driver_->read(
      [&](const peers::Machine& machine) { return machine.score(host, net::monotonic_now()); });
}

PeerCounts PeerManager::counts() const {
  return driver_->read([](const peers::Machine& machine) { return machine.counts(); });
}

PeerMetrics PeerManager::metrics() const {
  return driver_->read([](const peers::Machine& machine) { return machine.metrics(); });
}

Result<PeerInfo> PeerManager::info(PeerId id) const {
  return driver_->read(
      [&](const peers::Machine& machine) { return machine.info(id, net::monotonic_now()); });
}

void PeerManager::for_each(const std::function<void(const PeerInfo&)>& visit) const {
  std::vector<PeerInfo> all;
  driver_->read([&](const peers::Machine& machine) {
    machine.for_each([&all](const PeerInfo& info) { all.push_back(info); }, net::monotonic_now());
    return 0;
  });
  for (const PeerInfo& info : all) {
    visit(info);
  }
}

}  // namespace trunkline
