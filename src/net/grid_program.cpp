// SPDX-License-Identifier: Apache-2.0
//
// Calls of the program's own, and its handlers; grid_stream.cpp has the streams.
#include "net/grid_program.h"

#include "core/thrown.h"
#include "net/grid_driver.h"
#include "net/run_handler.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace trunkline::net {

namespace {

constexpr std::chrono::milliseconds kRequestTimeout{60'000};
constexpr std::chrono::milliseconds kRetryStart{5};
constexpr std::uint32_t kRetryDoublingsMax = 8;

// What a token points to is in its lowest bits: nothing that is pointed to begins at an odd place.
constexpr std::uint64_t kPendingTag = 0;
constexpr std::uint64_t kStreamTag = 1;
constexpr std::uint64_t kServedTag = 2;
constexpr std::uint64_t kTagMask = 3;

template <class T>
std::uint64_t token_of(T* object, std::uint64_t tag) {
  static_assert(alignof(T) > kTagMask);
  return reinterpret_cast<std::uint64_t>(object) | tag;
}

template <class T>
T* object_of(std::uint64_t token, std::uint64_t tag) {
  return token != 0 && (token & kTagMask) == tag
             ? reinterpret_cast<T*>(token & ~kTagMask)  // NOLINT(performance-no-int-to-ptr)
             : nullptr;
}

grid::Failure to_failure(const GridError& error) {
  const auto code = static_cast<grid::FailureCode>(error.code);
  // Only what a handler may say of itself goes to the peer under its own name.
  return {.code = code == grid::FailureCode::kThrew ? code : grid::FailureCode::kHandler,
          .application = error.application,
          .not_run = false,
          .text = error.code == GridCode::kHandler || error.code == GridCode::kThrew
                      ? error.text
                      : to_string(error)};
}

std::optional<std::chrono::steady_clock::time_point> deadline_of(const grid::PeerCall& what) {
  if (what.deadline == TimePoint::max()) {
    return std::nullopt;
  }
  return std::chrono::steady_clock::time_point(what.deadline.time_since_epoch());
}

// What a handler gives when it throws.
template <class T>
GridResult<T> ended(std::optional<GridResult<T>> answer, const std::exception_ptr& thrown) {
  if (answer.has_value()) {
    return std::move(*answer);
  }
  return std::unexpected(
      GridError{GridCode::kThrew, GridOrigin::kHandler, 0, false, text_of(thrown)});
}

}  // namespace

GridError to_error(const grid::Failure& failure) {
  return {static_cast<GridCode>(failure.code), static_cast<GridOrigin>(grid::origin(failure)),
          failure.application, failure.not_run, failure.text};
}

GridError cancelled_error() {
  return {GridCode::kCancelled, GridOrigin::kCaller, 0, false, "cancelled by the caller"};
}

GridProgram::~GridProgram() {
  while (GridStreamState* const stream = streams_.front()) {
    drop(*stream);
  }
}

// --- calls of our own ---

GridPending* GridProgram::begin(std::unique_ptr<GridPending> owned) {
  GridPending* pending = owned.get();
  const TimePoint now = world_.core().now().monotonic;
  pending->began = now;
  pending->serial = ++last_serial_;
  const bool is_request = pending->kind == grid::CallKind::kRequest;
  std::chrono::milliseconds timeout = pending->options.timeout;
  if (timeout == std::chrono::milliseconds(0)) {
    timeout = is_request ? kRequestTimeout : std::chrono::milliseconds::max();
  }
  if (timeout < std::chrono::hours(24 * 3653)) {
    pending->deadline = now + timeout;
  }
  pending_.emplace(pending, std::move(owned));
  if (pending->options.stop.stop_requested()) {
    cancel(pending);
    return nullptr;
  }
  const std::uint64_t serial = pending->serial;
  watch_stop(*pending);
  attempt(*pending);
  return find_pending(pending, serial);
}

GridPending* GridProgram::find_pending(GridPending* pending, std::uint64_t serial) const {
  const auto found = pending_.find(pending);
  return found != pending_.end() && pending->serial == serial ? pending : nullptr;
}

void GridProgram::watch_stop(GridPending& pending) {
  if (pending.options.stop.stop_possible()) {
    pending.on_stop.emplace(
        pending.options.stop, [home = home_, at = &pending, serial = pending.serial] {
          if (const std::shared_ptr<GridDriver> there = home->driver()) {
            there->post([driver_there = there.get(), at, serial] {
              driver_there->program().cancel(driver_there->program().find_pending(at, serial));
            });
          }
        });
  }
}

void GridProgram::attempt(GridPending& pending) {
  grid::NodeCore& core = world_.core();
  const auto mux = core.mux_of(pending.peer);
  const bool may_wait = pending.options.wait_ready &&
                        (mux.has_value() ? !(*mux)->takes_calls()
                                         : mux.error().code == grid::FailureCode::kNotConnected);
  if (may_wait) {
    wait_for_peer(pending);
    return;
  }
  if (!mux.has_value()) {
    ended_by(pending, mux.error());
    return;
  }
  const bool is_request = pending.kind == grid::CallKind::kRequest;
  const bool keeps = is_request && (pending.options.idempotent || pending.options.wait_ready);
  const std::uint64_t token =
      is_request ? token_of(&pending, kPendingTag) : token_of(pending.stream.get(), kStreamTag);
  const auto ref =
      core.begin(**mux, {.kind = pending.kind,
                         .handler = pending.handler,
                         .payload = keeps ? pending.payload : std::move(pending.payload),
                         .deadline = pending.deadline,
                         .priority = static_cast<grid::Priority>(pending.options.priority),
                         .token = token});
  if (!ref.has_value()) {
    ended_by(pending, ref.error());
    return;
  }
  pending.mux = *mux;
  pending.ref = *ref;
  if (!is_request) {
    const GridStreamPtr stream = std::move(pending.stream);
    stream->mux = *mux;
    stream->ref = *ref;
    keep(*stream);
    const std::stop_token& stop = pending.options.stop;
    if (options_.trace || stop.stop_possible()) {
      stream->caller = std::make_unique<GridStreamState::Caller>(
          pending.peer, pending.handler, pending.began, static_cast<bool>(options_.trace));
      watch_stop_of(*stream, stop);
    }
    finish(pending, std::string_view{});
  }
}

void GridProgram::watch_stop_of(GridStreamState& stream, const std::stop_token& stop) {
  if (stop.stop_possible()) {  // requested meanwhile: it is called here
    // Who destroys it waits for one that runs on another thread, so the stream is there.
    stream.caller->on_stop.emplace(stop, [at = &stream] {
      const std::shared_ptr<GridDriver> there = at->home->driver();
      if (there == nullptr || !at->try_add_reference()) {
        return;
      }
      there->post([driver_there = there.get(), state = GridStreamPtr(at, false)] {
        driver_there->program().cancel(*state);
      });
    });
  }
}

void GridProgram::wait_for_peer(GridPending& pending) {
  pending.is_waiting = true;
  world_.core().wait(pending.peer, pending.deadline, token_of(&pending, kPendingTag));
}

void GridProgram::on_ready(std::uint64_t token, const std::optional<grid::Failure>& failure) {
  auto* pending = object_of<GridPending>(token, kPendingTag);
  if (!pending_.contains(pending)) {
    return;
  }
  pending->is_waiting = false;
  if (failure.has_value()) {
    finish(*pending, std::unexpected(to_error(*failure)));
  } else {
    attempt(*pending);
  }
}

// It has failed: asked again, when that is wished and harmless, or that was it.
void GridProgram::ended_by(GridPending& pending, const grid::Failure& failure) {
  const bool is_lost = failure.code == grid::FailureCode::kDisconnected;
  const bool is_wished = (failure.not_run && pending.options.wait_ready) ||
                         ((is_lost || !failure.not_run) && pending.options.idempotent);
  const TimePoint now = world_.core().now().monotonic;
  if (!is_wished || pending.kind != grid::CallKind::kRequest || pending.deadline <= now ||
      is_stopping_ || !grid::may_retry(failure, pending.options.idempotent)) {
    finish(pending, std::unexpected(to_error(failure)));
    return;
  }
  pending.mux = nullptr;
  const auto delay = kRetryStart * (1U << std::min(pending.retries, kRetryDoublingsMax));
  ++pending.retries;
  world_.call_later(delay, [this, at = &pending, serial = pending.serial] {
    if (GridPending* still = find_pending(at, serial); still != nullptr) {
      wait_for_peer(*still);
    }
  });
}

void GridProgram::finish(GridPending& pending, GridResult<std::string_view> result) {
  const std::unique_ptr<GridPending> owned = std::move(pending_.extract(&pending).mapped());
  owned->on_stop.reset();
  if (options_.trace && (owned->kind == grid::CallKind::kRequest || !result.has_value())) {
    options_.trace(owned->peer, owned->handler, world_.core().now().monotonic - owned->began,
                   result.has_value() ? nullptr : &result.error());
  }
  if (owned->done) {
    owned->done(std::move(result));
  } else if (owned->opened) {
    owned->opened(result.has_value() ? GridResult<void>{}
                                     : GridResult<void>(std::unexpected(result.error())));
  }
}

void GridProgram::cancel(GridPending* pending) {
  if (pending == nullptr || !pending_.contains(pending)) {
    return;
  }
  if (pending->is_waiting) {
    world_.core().cancel_wait(token_of(pending, kPendingTag));
  } else if (pending->mux != nullptr) {
    pending->mux->cancel(pending->ref);
    world_.core().touch(*pending->mux);
  }
  finish(*pending, std::unexpected(cancelled_error()));
}

void GridProgram::stop() {
  is_stopping_ = true;
  while (!pending_.empty()) {
    GridPending& pending = *pending_.begin()->second;
    finish(pending, std::unexpected(GridError{GridCode::kNotConnected, GridOrigin::kTransport, 0,
                                              false, "the node has stopped"}));
  }
}

void GridProgram::on_result(std::uint64_t token, grid::Arrived payload) {
  if (auto* pending = object_of<GridPending>(token, kPendingTag); pending != nullptr) {
    finish(*pending, payload.bytes());
  }
}

void GridProgram::on_failure(std::uint64_t token, const grid::Failure& failure) {
  if (auto* pending = object_of<GridPending>(token, kPendingTag); pending != nullptr) {
    ended_by(*pending, failure);
  } else if (const GridStreamPtr stream(object_of<GridStreamState>(token, kStreamTag));
             stream != nullptr) {
    const GridError error = to_error(failure);
    trace_end(*stream, &error);
    stream->failed(error);
  }
}

// --- the peers' calls ---

void GridProgram::handle(std::string name, GridHandler handler) {
  handlers_[std::move(name)] = std::make_shared<const Handler>(std::move(handler));
}

void GridProgram::handle_inline(std::string name, GridInlineHandler handler) {
  handlers_[std::move(name)] = std::make_shared<const Handler>(std::move(handler));
}

void GridProgram::handle_inline(std::string name, GridInlineContextHandler handler) {
  handlers_[std::move(name)] = std::make_shared<const Handler>(std::move(handler));
}

void GridProgram::handle_stream(std::string name, GridStreamHandler handler,
                                GridStreamLimits limits) {
  handlers_[std::move(name)] =
      std::make_shared<const Handler>(StreamServing{.serve = std::move(handler), .limits = limits});
}

// The name itself, or the longest prefix of it that ends with a slash.
std::shared_ptr<const GridProgram::Handler> GridProgram::find(std::string_view name) const {
  if (const auto found = handlers_.find(name); found != handlers_.end()) {
    return found->second;
  }
  for (std::size_t end = name.rfind('/'); end != std::string_view::npos && end > 0;
       end = name.rfind('/', end - 1)) {
    if (const auto found = handlers_.find(name.substr(0, end + 1)); found != handlers_.end()) {
      return found->second;
    }
  }
  return nullptr;
}

GridRequest GridProgram::request_of(grid::Mux& mux, const grid::PeerCall& what,
                                    const grid::Arrived& payload) {
  GridRequest request;
  request.handler = what.handler;
  request.payload = payload.take();
  request.peer = world_.core().peer_of(mux);
  request.deadline = deadline_of(what);
  return request;
}

void GridProgram::on_call(grid::Mux& mux, grid::CallRef call, const grid::PeerCall& what,
                          grid::Arrived payload) {
  const std::shared_ptr<const Handler> handler = find(what.handler);
  const bool is_stream = what.kind == grid::CallKind::kStream;
  if (handler == nullptr || std::holds_alternative<StreamServing>(*handler) != is_stream) {
    mux.fail(call, {.code = grid::FailureCode::kUnknownHandler,
                    .not_run = true,
                    .text = fmt::format("no {} '{}' here", is_stream ? "stream" : "request",
                                        what.handler)});
    world_.core().touch(mux);
    return;
  }
  const bool is_inline = std::holds_alternative<GridInlineHandler>(*handler) ||
                         std::holds_alternative<GridInlineContextHandler>(*handler);
  if (is_inline) {
    serve_inline(*handler, mux, call, what, payload.bytes());
    return;
  }
  GridRequest request = request_of(mux, what, payload);
  if (is_stream) {
    serve_stream(handler, mux, call, std::move(request));
  } else {
    serve(handler, std::get<GridHandler>(*handler), mux, call, std::move(request));
  }
}

void GridProgram::serve_inline(const Handler& handler, grid::Mux& mux, grid::CallRef call,
                               const grid::PeerCall& what, std::string_view payload) {
  GridReply reply(std::make_unique<GridReplyState>(GridReplyState{home_, &mux, call}));
  try {
    if (const auto* plain = std::get_if<GridInlineHandler>(&handler)) {
      (*plain)(payload, std::move(reply));
    } else {
      std::get<GridInlineContextHandler>(handler)({.handler = what.handler,
                                                   .payload = payload,
                                                   .peer = world_.core().peer_of(mux),
                                                   .deadline = deadline_of(what)},
                                                  std::move(reply));
    }
  } catch (...) {
    // The reply that went with it has told the caller that nobody answers.
    world_.core().touch(mux);
  }
}

void GridProgram::serve(std::shared_ptr<const Handler> keeper, const GridHandler& handler,
                        grid::Mux& mux, grid::CallRef call, GridRequest request) {
  const auto served = std::make_shared<GridServed>();
  served->mux = &mux;
  served->ref = call;
  served->handler = std::move(keeper);
  request.stop = served->stop.get_token();
  served_.emplace(served.get(), served);
  mux.set_token(call, token_of(served.get(), kServedTag));
  auto done = [home = home_, served](std::optional<GridResult<Bytes>> answer,
                                     const std::exception_ptr& thrown) {
    if (const std::shared_ptr<GridDriver> there = home->driver()) {
      there->dispatch([driver_there = there.get(), served,
                       result = ended<Bytes>(std::move(answer), thrown)]() mutable {
        driver_there->program().answered(served, std::move(result));
      });
    }
  };
  run_handler([&] { return handler(std::move(request)); }, std::move(done));
}

void GridProgram::serve_stream(std::shared_ptr<const Handler> keeper, grid::Mux& mux,
                               grid::CallRef call, GridRequest request) {
  const StreamServing& handler = std::get<StreamServing>(*keeper);
  const std::size_t streams_max = handler.limits.streams_max;
  if (streams_max > 0 && handler.running >= streams_max) {
    mux.fail(call, {.code = grid::FailureCode::kBusy,
                    .not_run = true,
                    .text = fmt::format("{} streams of '{}' are open, as many as there may be",
                                        streams_max, request.handler)});
    world_.core().touch(mux);
    return;
  }
  if (handler.limits.window_bytes > 0) {
    mux.limit_window(call, handler.limits.window_bytes);
  }
  const GridStreamPtr stream(new GridStreamState(home_));
  stream->mux = &mux;
  stream->ref = call;
  stream->stop = std::stop_source();
  request.stop = stream->stop.get_token();
  keep(*stream);
  ++handler.running;
  mux.set_token(call, token_of(stream.get(), kStreamTag));
  auto done = [stream, keeper = std::move(keeper)](std::optional<GridResult<void>> how,
                                                   const std::exception_ptr& thrown) {
    if (const std::shared_ptr<GridDriver> there = stream->home->driver()) {
      there->dispatch([driver_there = there.get(), stream, keeper,
                       result = ended<void>(std::move(how), thrown)]() mutable {
        --std::get<StreamServing>(*keeper).running;
        driver_there->program().returned(*stream, std::move(result));
      });
    }
  };
  run_handler([&] { return handler.serve(std::move(request), GridDriver::make_stream(*stream)); },
              std::move(done));
}

// A handler has ended, maybe long after anybody waited.
void GridProgram::answered(const std::shared_ptr<GridServed>& served, GridResult<Bytes> answer) {
  if (served_.erase(served.get()) == 0) {
    return;
  }
  grid::Mux& mux = *served->mux;
  if (!answer.has_value()) {
    mux.fail(served->ref, to_failure(answer.error()));
  } else {
    mux.respond(served->ref, std::move(*answer));
  }
  world_.core().touch(mux);
}

void GridProgram::returned(GridStreamState& stream, GridResult<void> how) {
  const GridStreamPtr kept(&stream);
  stream.inbox.clear();
  drop(stream);
  if (!how.has_value()) {
    stream.mux->fail(stream.ref, to_failure(how.error()));
  } else {
    stream.mux->finish(stream.ref);
  }
  world_.core().touch(*stream.mux);
  // A copy of it may be with somebody who still waits.
  stream.failed({GridCode::kCancelled, GridOrigin::kCaller, 0, false, "the handler has returned"});
}

void GridProgram::on_stop(std::uint64_t token, const grid::Failure& why) {
  if (auto* served = object_of<GridServed>(token, kServedTag); served != nullptr) {
    const std::stop_source stop = served->stop;  // a callback may end the handler
    std::stop_source(stop).request_stop();
  } else if (auto* stream = object_of<GridStreamState>(token, kStreamTag); stream != nullptr) {
    const GridStreamPtr kept(stream);
    kept->stop.request_stop();
    kept->failed(to_error(why));
  }
}

void GridProgram::on_message(std::uint64_t token, grid::Arrived payload) {
  auto* const stream = object_of<GridStreamState>(token, kStreamTag);
  stream->arrived(payload.take());
  if (stream->receiver != nullptr && !std::exchange(stream->is_waking, true)) {
    to_wake_.emplace_back(stream);
  }
}

void GridProgram::on_end(std::uint64_t token) {
  const GridStreamPtr stream(object_of<GridStreamState>(token, kStreamTag));
  trace_end(*stream, nullptr);
  stream->ended();
}

void GridProgram::on_room(std::uint64_t token) {
  const GridStreamPtr stream(object_of<GridStreamState>(token, kStreamTag));
  stream->has_room();
}

}  // namespace trunkline::net
