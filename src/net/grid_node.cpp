// SPDX-License-Identifier: Apache-2.0
//
// The public face: asks the node's thread, and waits as a coroutine.
#include <trunkline/grid.h>

#include "net/grid_await.h"
#include "net/grid_driver.h"
#include "net/grid_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline {

namespace {

using net::GridOnce;

GridError stopped_error() {
  return {GridCode::kNotConnected, GridOrigin::kTransport, 0, true, "the node has stopped"};
}

// A call on its way to the node's thread. Dropped on the way (the node has stopped), it says so.
class PostedCall {
 public:
  explicit PostedCall(std::unique_ptr<net::GridPending> pending) : pending_(std::move(pending)) {}

  PostedCall(PostedCall&&) noexcept = default;
  PostedCall& operator=(PostedCall&&) = delete;
  PostedCall(const PostedCall&) = delete;
  PostedCall& operator=(const PostedCall&) = delete;

  ~PostedCall() {
    if (pending_ != nullptr) {
      pending_->done(std::unexpected(stopped_error()));
    }
  }

  [[nodiscard]] std::unique_ptr<net::GridPending> take() { return std::move(pending_); }

 private:
  std::unique_ptr<net::GridPending> pending_;
};

// Where a call that a coroutine has made is, for as long as it is. The node's thread only.
struct CallPlace {
  net::GridPending* pending = nullptr;
  std::uint64_t serial = 0;
};

grid::NodeOptions node_options(const GridOptions& options) {
  grid::NodeOptions node;
  node.identity.name = options.name;
  const std::string instance = net::GridDriver::random_bytes(node.identity.instance.size());
  std::memcpy(node.identity.instance.data(), instance.data(), instance.size());
  node.identity.secret = options.secret;
  node.identity.wants_checksum = options.checksums;
  node.identity.skew_max = options.skew_max;
  node.identity.is_guest = options.is_guest;
  node.guests_max = options.guests_max;
  grid::MuxOptions& mux = node.mux;
  mux.limits.message_bytes_max = options.message_bytes_max;
  mux.limits.calls_max = options.calls_max;
  mux.stream_window_max =
      std::max<std::size_t>(options.stream_window_bytes, mux.limits.stream_window);
  mux.handlers_max = options.handlers_max;
  mux.unsent_bytes_max = options.unsent_bytes_max;
  mux.ping_interval = options.ping_interval;
  mux.write_deadline = options.write_deadline;
  node.identity.limits = mux.limits;
  node.memory_bytes_max = options.memory_bytes_max;
  node.handshake_deadline = options.handshake_deadline;
  node.probe_timeout =
      std::min<std::chrono::milliseconds>(std::chrono::seconds(1), options.handshake_deadline / 2);
  node.reverse_dial_after = options.reverse_dial_after;
  return node;
}

}  // namespace

std::string_view name(GridCode code) {
  return grid::name(static_cast<grid::FailureCode>(code));
}

std::string_view name(GridOrigin origin) {
  return grid::name(static_cast<grid::Origin>(origin));
}

std::string to_string(const GridError& error) {
  return fmt::format("{} ({}){}{}", name(error.code), name(error.origin),
                     error.text.empty() ? "" : ": ", error.text);
}

// --- calls ---

void GridPeer::call(std::string_view handler, Bytes payload, GridCallOptions options,
                    GridDone done) const {
  auto pending = std::make_unique<net::GridPending>();
  pending->peer = name_;
  pending->handler = handler;
  pending->payload = std::move(payload);
  pending->options = std::move(options);
  pending->done = std::move(done);
  if (driver_->is_on_loop()) {
    driver_->begin_turn();
    driver_->program().begin(std::move(pending));
    return;
  }
  if (driver_->is_swamped()) {
    pending->done(std::unexpected(GridError{GridCode::kFull, GridOrigin::kCaller, 0, true,
                                            "too many calls wait for the node's thread"}));
    return;
  }
  driver_->post([driver = driver_.get(), call = PostedCall(std::move(pending))]() mutable {
    driver->program().begin(call.take());
  });
}

Task<GridResult<Bytes>> GridPeer::call(std::string handler, Bytes payload,
                                       GridCallOptions options) const {
  using Answer = GridResult<Bytes>;
  const std::shared_ptr<net::GridDriver> driver = driver_;
  const auto place = std::make_shared<CallPlace>();
  auto pending = std::make_unique<net::GridPending>();
  pending->peer = name_;
  pending->handler = std::move(handler);
  pending->payload = std::move(payload);
  pending->options = std::move(options);
  auto answer = net::grid_await<Answer>(
      [&driver, &place, &pending](GridOnce<Answer> once) {
        pending->done = [told = std::move(once)](GridResult<std::string_view> result) mutable {
          told.tell(result.has_value() ? Answer(Bytes(*result))
                                       : Answer(std::unexpected(std::move(result.error()))));
        };
        driver->dispatch([there = driver.get(), place, begun = std::move(pending)]() mutable {
          place->pending = there->program().begin(std::move(begun));
          place->serial = place->pending != nullptr ? place->pending->serial : 0;
        });
      },
      [driver, place] {
        driver->dispatch([there = driver.get(), place] {
          there->program().cancel(there->program().find_pending(place->pending, place->serial));
        });
      });
  co_return co_await answer;
}

Task<GridResult<GridStream>> GridPeer::open(std::string handler, Bytes payload,
                                            GridCallOptions options) const {
  using Answer = GridResult<GridStream>;
  const std::shared_ptr<net::GridDriver> driver = driver_;
  const auto place = std::make_shared<CallPlace>();
  auto pending = std::make_unique<net::GridPending>();
  pending->kind = grid::CallKind::kStream;
  pending->peer = name_;
  pending->handler = std::move(handler);
  pending->payload = std::move(payload);
  pending->options = std::move(options);
  pending->stream = new net::GridStreamState(driver->program().home());
  pending->stream->is_caller = true;
  auto answer = net::grid_await<Answer>(
      [&driver, &place, &pending](GridOnce<Answer> once) {
        pending->opened = [told = std::move(once),
                           state = pending->stream](GridResult<void> result) mutable {
          // Dropped with the answer, when nobody waits for it any more.
          told.tell(result.has_value() ? Answer(net::GridDriver::make_stream(*state))
                                       : Answer(std::unexpected(std::move(result.error()))));
        };
        driver->dispatch([there = driver.get(), place, begun = std::move(pending)]() mutable {
          place->pending = there->program().begin(std::move(begun));
          place->serial = place->pending != nullptr ? place->pending->serial : 0;
        });
      },
      [driver, place] {
        driver->dispatch([there = driver.get(), place] {
          there->program().cancel(there->program().find_pending(place->pending, place->serial));
        });
      });
  co_return co_await answer;
}

// --- inline replies ---

GridReply::GridReply(std::unique_ptr<net::GridReplyState> state) : state_(std::move(state)) {}

GridReply::GridReply(GridReply&&) noexcept = default;

GridReply& GridReply::operator=(GridReply&& other) noexcept {
  GridReply old(std::exchange(state_, std::move(other.state_)));
  return *this;
}

GridReply::~GridReply() {
  if (state_ == nullptr) {
    return;
  }
  if (const std::shared_ptr<net::GridDriver> driver = state_->home->driver()) {
    driver->dispatch([there = driver.get(), mux = state_->mux, ref = state_->ref] {
      mux->fail(ref, {.code = grid::FailureCode::kAbandoned,
                      .text = "the handler has ended without an answer"});
      there->core().touch(*mux);
    });
  }
}

void GridReply::respond(Bytes payload) {
  const std::unique_ptr<net::GridReplyState> state = std::move(state_);
  if (state == nullptr) {
    return;
  }
  if (net::GridDriver* const here = state->home->here(); here != nullptr) {
    here->begin_turn();
    state->mux->respond(state->ref, std::move(payload));
    here->core().touch(*state->mux);
  } else if (const std::shared_ptr<net::GridDriver> driver = state->home->driver()) {
    driver->dispatch([there = driver.get(), mux = state->mux, ref = state->ref,
                      bytes = std::move(payload)]() mutable {
      mux->respond(ref, std::move(bytes));
      there->core().touch(*mux);
    });
  }
}

void GridReply::fail(std::uint32_t application, std::string text) {
  const std::unique_ptr<net::GridReplyState> state = std::move(state_);
  if (state == nullptr) {
    return;
  }
  if (const std::shared_ptr<net::GridDriver> driver = state->home->driver()) {
    driver->dispatch([there = driver.get(), mux = state->mux, ref = state->ref, application,
                      why = std::move(text)]() mutable {
      mux->fail(ref, {.code = grid::FailureCode::kHandler,
                      .application = application,
                      .text = std::move(why)});
      there->core().touch(*mux);
    });
  }
}

// --- the node ---

Result<std::unique_ptr<GridNode>> GridNode::create(GridOptions options) {
  grid::NodeOptions node = node_options(options);
  if (const Result<void> checked = grid::check_options(node); !checked.has_value()) {
    return std::unexpected(checked.error());
  }
  if (options.is_guest && !options.listen.empty()) {
    return fail(ErrorCode::kConfig, "a guest dials and does not listen");
  }
  if (options.busy_poll < std::chrono::seconds(0) || options.busy_poll > std::chrono::seconds(1)) {
    return fail(ErrorCode::kConfig, "busy_poll is from 0 to a second");
  }
  Result<net::GridCertificates> certificates = net::GridCertificates::load(options);
  if (!certificates.has_value()) {
    return std::unexpected(certificates.error());
  }
  node.are_peers_certified = certificates->are_peers_asked;
  const auto driver = std::make_shared<net::GridDriver>(std::move(options), std::move(node),
                                                        std::move(*certificates));
  driver->program().set_driver(driver);
  if (driver->options().serves_statistics) {
    driver->program().handle_inline(
        std::string(net::kStatisticsHandler),
        [there = driver.get()](std::string_view /*payload*/, GridReply reply) {
          reply.respond(net::statistics_json(there->options().name, there->core().now().monotonic,
                                             net::statistics_of(there->core())));
        });
  }
  return std::unique_ptr<GridNode>(new GridNode(driver));
}

GridNode::~GridNode() {
  stop();
}

void GridNode::handle(std::string handler_name, GridHandler handler) {
  driver_->dispatch([driver = driver_.get(), key = std::move(handler_name),
                     handler = std::move(handler)]() mutable {
    driver->program().handle(std::move(key), std::move(handler));
  });
}

void GridNode::handle_inline(std::string handler_name, GridInlineHandler handler) {
  driver_->dispatch([driver = driver_.get(), key = std::move(handler_name),
                     handler = std::move(handler)]() mutable {
    driver->program().handle_inline(std::move(key), std::move(handler));
  });
}

void GridNode::handle_inline(std::string handler_name, GridInlineContextHandler handler) {
  driver_->dispatch([driver = driver_.get(), key = std::move(handler_name),
                     handler = std::move(handler)]() mutable {
    driver->program().handle_inline(std::move(key), std::move(handler));
  });
}

void GridNode::handle_stream(std::string handler_name, GridStreamHandler handler,
                             GridStreamLimits limits) {
  driver_->dispatch([driver = driver_.get(), key = std::move(handler_name),
                     handler = std::move(handler), limits]() mutable {
    driver->program().handle_stream(std::move(key), std::move(handler), limits);
  });
}

Result<void> GridNode::start() {
  return driver_->start();
}

std::uint16_t GridNode::port() const {
  return driver_->port();
}

Result<GridPeer> GridNode::peer(std::string peer_name) {
  if (peer_name.empty() || peer_name.size() > grid::kNameBytesMax ||
      peer_name == driver_->options().name) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' cannot be a peer", peer_name));
  }
  const bool taken = driver_->dispatch([driver = driver_.get(), peer_name] {
    static_cast<void>(driver->core().add_peer(peer_name));  // it may be one already
  });
  if (!taken) {
    return fail(ErrorCode::kClosed, "the node has stopped");
  }
  return GridPeer(driver_, std::move(peer_name));
}

Result<void> GridNode::remove_peer(std::string peer_name) {
  const auto answer = std::make_shared<Result<void>>();
  if (!driver_->dispatch_and_wait([driver = driver_.get(), answer, peer_name] {
        *answer = driver->core().remove_peer(peer_name);
      })) {
    return fail(ErrorCode::kClosed, "the node has stopped");
  }
  return *answer;
}

void GridNode::drain(std::chrono::milliseconds timeout) {
  driver_->drain(timeout);
  stop();
}

void GridNode::stop() {
  driver_->stop();
  driver_->wait();
}

std::vector<GridPeerStats> GridNode::peers() const {
  const auto all = std::make_shared<std::vector<GridPeerStats>>();
  const bool asked = driver_->dispatch_and_wait(
      [driver = driver_.get(), all] { *all = net::statistics_of(driver->core()); });
  return asked ? *all : std::vector<GridPeerStats>{};
}

}  // namespace trunkline
