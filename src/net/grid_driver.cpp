// SPDX-License-Identifier: Apache-2.0
//
// Sockets, peers and the node's events; grid_driver_life.cpp has the thread.
#include "net/grid_driver.h"

#include "net/clock.h"
#include "net/grid_memory.h"
#include "ws/frame.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

namespace {

// Several frames of the other node, so that few are cut at its end.
constexpr std::size_t kReadBytes = 128UL * 1024;

// How old the time may be that the node is told.
constexpr std::chrono::milliseconds kTurnTime{5};

// Flushing a connection may give others something to write.
constexpr int kFlushRounds = 8;

std::uint64_t number_of(std::string_view bytes) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

}  // namespace

GridDriver::GridDriver(GridOptions options, grid::NodeOptions node_options,
                       GridCertificates certificates)
    : options_(std::move(options)),
      node_options_(std::move(node_options)),
      certificates_(std::move(certificates)),
      io_(1),
      blocking_(options_.blocking_threads, false),
      guard_(asio::make_work_guard(io_)),
      timer_(io_),
      busy_poll_(options_.busy_poll),
      random_(number_of(random_bytes(sizeof(std::uint64_t)))),
      read_buffer_(kReadBytes + ws::kMessagePadding),
      program_(*this, options_),
      core_(node_options_, *this, monotonic_now()) {}

GridDriver::~GridDriver() = default;

std::string GridDriver::random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  // Fails only when the operating system has no randomness at all, and then there is no safe way
  // on.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1) {
    std::terminate();
  }
  return bytes;
}

std::span<char> GridDriver::read_buffer() {
  return {read_buffer_.data(), kReadBytes};
}

std::size_t GridDriver::frame_bytes_max() const {
  return node_options_.mux.limits.frame_bytes_max;
}

ws::MaskingKey GridDriver::masking_key() {
  // It keeps a page's script from choosing the bytes on the wire (RFC 6455, section 10.3); no page
  // runs here, so it need not be unpredictable.
  const std::uint64_t bits = random_.next();
  ws::MaskingKey key{};
  std::memcpy(key.data(), &bits, key.size());
  return key;
}

void GridDriver::log(std::string_view line) const {
  if (options_.log) {
    options_.log(line);
  }
}

// --- turns ---

// Also when it has become late in the turn: after a long one, or one in which the process was
// stopped, deadlines would be counted from long ago. Only where an event begins is the node not at
// work further down the stack.
void GridDriver::begin_turn() {
  const bool is_old = !std::exchange(is_event_begun_, true) && is_in_turn_ &&
                      monotonic_now() - core_.now().monotonic > kTurnTime;
  if (!std::exchange(is_in_turn_, true) || is_old) {
    core_.advance(now());
  }
}

void GridDriver::end_turn() {
  for (int round = 0; round < kFlushRounds && !to_write_.empty(); ++round) {
    begin_turn();
    const std::vector<grid::ConnectionId> ids = std::exchange(to_write_, {});
    for (const grid::ConnectionId id : ids) {
      if (const auto found = connections_.find(id); found != connections_.end()) {
        const std::shared_ptr<GridConnection> connection = found->second;
        connection->flush();
      }
    }
  }
  if (!to_write_.empty()) {
    asio::post(io_, [] {});  // another turn follows at once
  }
  is_in_turn_ = false;
  if (core_.is_drained() &&
      std::ranges::none_of(sockets_, [](const auto& socket) { return socket->has_last_words(); })) {
    const std::lock_guard lock(mutex_);
    is_drained_ = true;
    changed_.notify_all();
  }
  arm_timer();
}

void GridDriver::arm_timer() {
  const TimePoint wakeup = core_.next_wakeup().value_or(TimePoint::max());
  if (wakeup == armed_for_) {
    return;
  }
  armed_for_ = wakeup;
  if (wakeup == TimePoint::max()) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(wakeup.time_since_epoch()));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      armed_for_ = TimePoint::max();
      begin_turn();
    }
  });
}

void GridDriver::call_later(std::chrono::milliseconds delay, GridTask task) {
  auto timer = std::make_unique<asio::steady_timer>(io_, delay);
  asio::steady_timer& waiting = *timer;
  waiting.async_wait([this, timer = std::move(timer),
                      task = std::move(task)](const boost::system::error_code& error) mutable {
    if (!error && !is_stopping_) {
      begin_turn();
      task();
    }
  });
}

// --- sockets ---

void GridDriver::adopt(PeerId id, std::shared_ptr<PeerConnection> connection, grid::Side side) {
  std::string peer;
  if (side == grid::Side::kDialler) {
    const auto dial = dials_.find(id.value);
    if (dial == dials_.end() || !dial->second.is_wanted) {
      connection->close("nobody wants it any more");
      return;
    }
    dial->second.is_connected = true;
    peer = dial->second.peer;
  }
  const auto made = std::make_shared<GridConnection>(*this, std::move(connection), side, peer);
  sockets_.insert(made);
  if (side == grid::Side::kDialler) {
    dialled_[made.get()] = id;
  }
  if (const Result<void> started = made->start(options_.handshake_deadline); !started.has_value()) {
    log(fmt::format("grid: {}: {}", peer, started.error().context));
    made->abort(started.error().context);
  }
}

grid::ConnectionId GridDriver::opened(std::shared_ptr<GridConnection> connection) {
  begin_turn();
  grid::Nonce nonce{};
  const std::string random = random_bytes(nonce.size());
  std::memcpy(nonce.data(), random.data(), nonce.size());
  const grid::ConnectionId id = core_.connected(connection->side(), connection->peer(), nonce);
  connections_.emplace(id, std::move(connection));
  return id;
}

void GridDriver::lost(grid::ConnectionId id, std::string_view why) {
  begin_turn();
  connections_.erase(id);
  core_.disconnected(id, why);
}

void GridDriver::forget(GridConnection& connection, std::string_view never_stood) {
  if (const auto dialled = dialled_.find(&connection); dialled != dialled_.end()) {
    const PeerId id = dialled->second;
    dialled_.erase(dialled);
    if (!never_stood.empty()) {
      dial_failed(id, never_stood);
    }
    dial_ended(id);
  }
  const auto found =
      std::ranges::find_if(sockets_, [&](const auto& each) { return each.get() == &connection; });
  if (found != sockets_.end()) {
    sockets_.erase(found);
  }
}

void GridDriver::dial_ended(PeerId id) {
  if (const auto dial = dials_.find(id.value); dial != dials_.end()) {
    dial->second.is_connected = false;
    if (!dial->second.is_wanted) {
      drop_dial(dial);
    }
  }
}

void GridDriver::dial_failed(PeerId id, std::string_view why) {
  if (const auto dial = dials_.find(id.value); dial != dials_.end() && !is_stopping_) {
    const std::string peer = dial->second.peer;
    begin_turn();
    core_.dial_failed(peer, why);
  }
}

void GridDriver::drop_dial(std::map<std::uint64_t, Dial>::iterator dial) {
  const PeerId id{dial->first};
  dials_.erase(dial);
  static_cast<void>(manager_->remove(id));  // it may have gone by itself
}

// --- what the node wants ---

void GridDriver::on_write(grid::ConnectionId id) {
  if (to_write_.empty() || to_write_.back() != id) {
    to_write_.push_back(id);
  }
}

void GridDriver::on_close(grid::ConnectionId id, const std::string& last, std::string_view reason) {
  const auto found = connections_.extract(id);
  if (!found.empty()) {
    found.mapped()->end(last, reason);
  }
}

void GridDriver::on_dial(const std::string& peer, bool wanted) {
  const auto dial =
      std::ranges::find_if(dials_, [&](const auto& each) { return each.second.peer == peer; });
  if (!wanted) {
    if (dial != dials_.end()) {
      dial->second.is_wanted = false;
      // What was dialled and stands is finished first: calls may be open on it.
      if (!dial->second.is_connected) {
        drop_dial(dial);
      }
    }
    return;
  }
  if (dial != dials_.end()) {
    dial->second.is_wanted = true;
    return;
  }
  const Result<PeerId> id = manager_->connect({.address = peer, .permanent = true, .group = {}});
  if (id.has_value()) {
    dials_[id->value] = Dial{.peer = peer};
  } else {
    log(fmt::format("grid: {} cannot be dialled: {}", peer, to_string(id.error())));
  }
}

void GridDriver::on_peer(const std::string& peer, bool is_connected, std::string_view why) {
  log(is_connected ? fmt::format("grid: connected to {}", peer)
                   : fmt::format("grid: lost {}: {}", peer, why));
}

std::optional<grid::Refusal> GridDriver::why_not(grid::ConnectionId id, std::string_view peer) {
  const auto found = connections_.find(id);
  if (!certificates_.are_peers_asked || found == connections_.end() ||
      found->second->is_peer_certified_for(host_of(peer))) {
    return std::nullopt;
  }
  return grid::Refusal{grid::RefusalCode::kName,
                       fmt::format("its certificate is not for '{}'", host_of(peer))};
}

void GridDriver::on_refused(std::string_view peer, const grid::Refusal& refusal, bool by_peer) {
  log(fmt::format("grid: {} {} ({}): {}", by_peer ? "refused by" : "refused",
                  peer.empty() ? "a peer" : peer, grid::name(refusal.code), refusal.text));
}

// --- what is about calls goes to the program ---

void GridDriver::on_call(grid::Mux& mux, grid::CallRef call, const grid::PeerCall& what,
                         grid::Arrived payload) {
  program_.on_call(mux, call, what, payload);
}

void GridDriver::on_result(grid::Mux& /*mux*/, std::uint64_t token, grid::Arrived payload) {
  program_.on_result(token, payload);
}

void GridDriver::on_failure(grid::Mux& /*mux*/, std::uint64_t token, const grid::Failure& failure) {
  program_.on_failure(token, failure);
}

void GridDriver::on_message(grid::Mux& /*mux*/, grid::CallRef /*call*/, std::uint64_t token,
                            grid::Arrived payload) {
  program_.on_message(token, payload);
}

void GridDriver::on_end(grid::Mux& /*mux*/, grid::CallRef /*call*/, std::uint64_t token) {
  program_.on_end(token);
}

void GridDriver::on_stop(grid::Mux& /*mux*/, grid::CallRef /*call*/, std::uint64_t token,
                         const grid::Failure& why) {
  program_.on_stop(token, why);
}

void GridDriver::on_room(grid::Mux& /*mux*/, grid::CallRef /*call*/, std::uint64_t token) {
  program_.on_room(token);
}

void GridDriver::on_ready(std::uint64_t token, const std::optional<grid::Failure>& failure) {
  program_.on_ready(token, failure);
}

void GridDriver::on_will_fill(char* memory, std::size_t bytes) {
  advise_will_fill(memory, bytes);
}

void GridDriver::on_spent(char* message, std::size_t from, std::size_t to) {
  advise_spent(message, from, to);
}

}  // namespace trunkline::net
