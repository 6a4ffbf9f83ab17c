// SPDX-License-Identifier: Apache-2.0
//
// A WebSocket echo on the server's own parts: the strict frame reader, an outbox for each
// connection, and the sender, used as a shard uses them: read all who have something, then write to
// all together. net::Connection itself speaks the client protocol only.
#include "core/time.h"
#include "echo/sockets.h"
#include "measure/clock.h"
#include "net/sender.h"
#include "outbox/outbox.h"
#include "ws/frame.h"
#include "ws/frame_reader.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {
namespace {

constexpr std::size_t kReadBytes = 64UL * 1024;

class Peer final : public ws::MessageHandler {
 public:
  Peer(int fd, const outbox::OutboxOptions& options) : fd_(fd), outbox_(options) {}

  ~Peer() override { ::close(fd_); }

  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // False: it is to be closed.
  bool take(std::span<char> bytes) {
    if (!upgraded_) {
      upgraded_ = true;
      outbox_.push_reply(answer_upgrade({bytes.data(), bytes.size()}));
      return true;
    }
    return reader_.read(bytes, *this).has_value() && !closed_;
  }

  [[nodiscard]] int fd() const { return fd_; }

  [[nodiscard]] outbox::Outbox& outbox() { return outbox_; }

  bool is_blocked = false;
  bool is_listed = false;  // among those to be flushed

 private:
  bool on_text(std::span<char> message) override {
    outbox_.push_reply(ws::make_frame(ws::Opcode::kText, {message.data(), message.size()}));
    return true;
  }

  bool on_binary(std::span<char> message) override {
    outbox_.push_reply(ws::make_frame(ws::Opcode::kBinary, {message.data(), message.size()}));
    return true;
  }

  bool on_ping(std::string_view payload) override {
    static_cast<void>(outbox_.push_control(ws::make_frame(ws::Opcode::kPong, payload)));
    return true;
  }

  bool on_pong(std::string_view /*payload*/) override { return true; }

  bool on_close(ws::CloseCode /*code*/, std::string_view /*reason*/) override {
    closed_ = true;
    return false;
  }

  const int fd_;
  bool upgraded_ = false;
  bool closed_ = false;
  ws::FrameReader reader_{ws::Role::kServer, {}};
  outbox::Outbox outbox_;
};

class Echo {
 public:
  explicit Echo(std::unique_ptr<net::Sender> sender)
      : sender_(std::move(sender)), plans_(sender_->batch_max()) {
    watch(poll_, listener_, EPOLLIN, EPOLL_CTL_ADD);
  }

  void run() {
    std::array<epoll_event, 256> events;
    while (true) {
      const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        on_event(events[static_cast<std::size_t>(i)]);
      }
      for (std::size_t done = 0; done < to_flush_.size(); done += sender_->batch_max()) {
        flush(std::span(to_flush_).subspan(done).first(
            std::min(sender_->batch_max(), to_flush_.size() - done)));
      }
      to_flush_.clear();
    }
  }

 private:
  void on_event(const epoll_event& event) {
    if (event.data.fd == listener_) {
      for (int fd = accept_one(listener_); fd >= 0; fd = accept_one(listener_)) {
        peers_.resize(std::max(peers_.size(), static_cast<std::size_t>(fd) + 1));
        peers_[static_cast<std::size_t>(fd)] = std::make_unique<Peer>(fd, options_);
        watch(poll_, fd, EPOLLIN, EPOLL_CTL_ADD);
      }
      return;
    }
    Peer& peer = *peers_[static_cast<std::size_t>(event.data.fd)];
    if ((event.events & EPOLLOUT) != 0) {
      watch(poll_, peer.fd(), EPOLLIN, EPOLL_CTL_MOD);
      peer.is_blocked = false;
      list(peer);
    }
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
      readable(peer);
    }
  }

  void readable(Peer& peer) {
    const ssize_t got = ::recv(peer.fd(), buffer_.data(), kReadBytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
      return;
    }
    if (got <= 0 || !peer.take({buffer_.data(), static_cast<std::size_t>(got)})) {
      std::erase(to_flush_, &peer);
      peers_[static_cast<std::size_t>(peer.fd())].reset();
      return;
    }
    list(peer);
  }

  void list(Peer& peer) {
    if (!peer.is_listed && !peer.is_blocked && !peer.outbox().idle()) {
      peer.is_listed = true;
      to_flush_.push_back(&peer);
    }
  }

  void flush(std::span<Peer* const> peers) {
    sends_.clear();
    for (std::size_t i = 0; i < peers.size(); ++i) {
      peers[i]->is_listed = false;
      peers[i]->outbox().gather(plans_[i]);
      sends_.push_back({.descriptor = peers[i]->fd(), .spans = plans_[i].spans(), .result = 0});
    }
    sender_->send(sends_);
    const TimePoint now{Clock::now().time_since_epoch()};
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const auto bytes = static_cast<std::size_t>(std::max<ssize_t>(sends_[i].result, 0));
      const bool all = bytes == plans_[i].bytes();
      peers[i]->outbox().written(plans_[i], bytes, now);
      if (!all || !peers[i]->outbox().idle()) {
        peers[i]->is_blocked = true;
        watch(poll_, peers[i]->fd(), EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      }
    }
  }

  const int listener_ = listen_on_loopback();
  const int poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  const outbox::OutboxOptions options_;
  std::unique_ptr<net::Sender> sender_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by descriptor
  std::vector<Peer*> to_flush_;
  std::vector<outbox::Plan> plans_;
  std::vector<net::Send> sends_;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes + ws::kMessagePadding);
};

}  // namespace
}  // namespace trunkline::bench

int main(int argc, char** argv) {
  std::unique_ptr<trunkline::net::Sender> sender = trunkline::net::make_direct_sender();
  if (argc < 2 || std::string_view(argv[1]) != "--no-io-uring") {
    if (auto ring = trunkline::net::make_ring_sender(); ring.has_value()) {
      sender = std::move(*ring);
    }
  }
  trunkline::bench::Echo(std::move(sender)).run();
}
