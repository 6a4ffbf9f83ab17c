// SPDX-License-Identifier: Apache-2.0
//
// Streams as the program sees them: what has arrived and waits, who waits for it, what waits for
// room.
#include "net/grid_driver.h"
#include "net/grid_program.h"

#include <utility>

namespace trunkline::net {

namespace {

// Whoever holds the last copy of a caller's stream lets go of it.
struct Handle {
  explicit Handle(std::shared_ptr<GridStreamState> of) : state(std::move(of)) {}

  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  ~Handle() {
    if (const std::shared_ptr<GridDriver> driver = state->driver.lock()) {
      driver->dispatch([there = driver.get(), kept = state] { there->program().let_go(*kept); });
    }
  }

  std::shared_ptr<GridStreamState> state;
};

}  // namespace

GridStream GridDriver::make_stream(const std::shared_ptr<GridStreamState>& state) {
  if (!state->is_caller) {
    return GridStream(state);
  }
  const auto handle = std::make_shared<Handle>(state);
  return GridStream(std::shared_ptr<GridStreamState>(handle, state.get()));
}

// --- what the grid tells ---

// Who waits is woken when the whole frame has been read: it costs as much for many messages as for
// one.
void GridStreamState::arrived(Bytes message) {
  inbox.push_back(std::move(message));
}

void GridStreamState::wake() {
  is_waking = false;
  if (receiver && !inbox.empty()) {
    give(take_first());
  }
}

Bytes GridStreamState::take_first() {
  Bytes message = std::move(inbox.front());
  inbox.pop_front();
  return message;
}

// To the one who waits. Its credit goes back now: it is the program's.
void GridStreamState::give(Bytes message) {
  const std::shared_ptr<GridStreamState> self = shared_from_this();
  if (const std::shared_ptr<GridDriver> there = driver.lock()) {
    mux->consumed(ref, message.size(), there->core().now().monotonic);
    there->core().touch(*mux);
  }
  ReceiveDone done = std::exchange(receiver, {});
  done(std::optional<Bytes>(std::move(message)));
}

void GridStreamState::ended() {
  input_ended = true;
  if (is_caller) {
    is_over = true;
    end_sender();
  }
  if (receiver && inbox.empty()) {
    std::exchange(receiver, {})(std::optional<Bytes>{});
  }
}

void GridStreamState::failed(GridError why) {
  const std::shared_ptr<GridStreamState> self = shared_from_this();
  is_over = true;
  if (error == nullptr) {
    error = std::make_unique<const GridError>(std::move(why));
  }
  end_sender();
  if (receiver && inbox.empty()) {
    std::exchange(receiver, {})(std::unexpected(*error));
  }
}

void GridStreamState::end_sender() {
  if (const std::unique_ptr<Sender> waiting = std::move(sender); waiting != nullptr) {
    waiting->done(std::unexpected(why_closed()));
  }
}

GridError GridStreamState::why_closed() const {
  if (error != nullptr) {
    return *error;
  }
  return {GridCode::kCancelled, GridOrigin::kCaller, 0, false,
          is_caller && input_ended ? "the handler has returned" : "nothing more may be sent"};
}

void GridStreamState::has_room() {
  if (const std::unique_ptr<Sender> waiting = std::move(sender); waiting != nullptr) {
    send(std::move(waiting->message), waiting->key, std::move(waiting->done));
  }
}

// --- what the program asks ---

void GridStreamState::withdraw(const void* key) {
  if (receiver && receiver_key == key) {
    receiver = {};
  }
  if (sender != nullptr && sender->key == key) {
    sender.reset();
  }
}

void GridStreamState::receive(const void* key, ReceiveDone done) {
  const std::shared_ptr<GridDriver> there = driver.lock();
  if (receiver) {
    done(std::unexpected(GridError{GridCode::kInvalid, GridOrigin::kCaller, 0, false,
                                   "somebody else is receiving"}));
  } else if (!inbox.empty()) {
    receiver = std::move(done);
    give(take_first());
  } else if (error != nullptr) {
    done(std::unexpected(*error));
  } else if (input_ended) {
    done(std::optional<Bytes>{});
  } else if (is_over || there == nullptr) {
    done(std::unexpected(why_closed()));
  } else {
    receiver = std::move(done);
    receiver_key = key;
  }
}

void GridStreamState::send(Bytes message, const void* key, SendDone done) {
  const std::shared_ptr<GridDriver> there = driver.lock();
  if (is_over || there == nullptr) {
    done(std::unexpected(why_closed()));
    return;
  }
  if (sender != nullptr) {
    done(std::unexpected(
        GridError{GridCode::kInvalid, GridOrigin::kCaller, 0, false, "somebody else is sending"}));
    return;
  }
  if (message.size() > mux->message_bytes_max()) {
    done(std::unexpected(GridError{GridCode::kTooLarge, GridOrigin::kCaller, 0, false,
                                   "a message larger than the peer takes"}));
    return;
  }
  if (!mux->has_room(ref, message.size())) {
    sender = std::make_unique<Sender>(std::move(message), key, std::move(done));
    return;  // has_room() comes
  }
  const grid::SendVerdict verdict = mux->send(ref, std::move(message));
  there->core().touch(*mux);
  if (verdict == grid::SendVerdict::kAccepted) {
    done({});
  } else {
    done(std::unexpected(why_closed()));
  }
}

std::optional<GridResult<std::optional<Bytes>>> GridStreamState::try_receive() {
  GridDriver* const there = GridDriver::here();
  if (there == nullptr || there != home || receiver || inbox.empty()) {
    return std::nullopt;
  }
  there->begin_turn();
  Bytes message = take_first();
  mux->consumed(ref, message.size(), there->core().now().monotonic);
  there->core().touch(*mux);
  return GridResult<std::optional<Bytes>>(std::move(message));
}

std::optional<GridResult<void>> GridStreamState::try_send(Bytes& message) {
  GridDriver* const there = GridDriver::here();
  if (there == nullptr || there != home || is_over || sender != nullptr ||
      message.size() > mux->message_bytes_max() || !mux->has_room(ref, message.size())) {
    return std::nullopt;
  }
  there->begin_turn();
  const grid::SendVerdict verdict = mux->send(ref, std::move(message));
  there->core().touch(*mux);
  return verdict == grid::SendVerdict::kAccepted ? GridResult<void>()
                                                 : std::unexpected(why_closed());
}

void GridStreamState::finish() {
  const std::shared_ptr<GridDriver> there = driver.lock();
  if (is_caller && !is_over && there != nullptr) {
    mux->finish(ref);
    there->core().touch(*mux);
  }
}

// --- the program's table of them ---

void GridProgram::on_message(std::uint64_t token, grid::Arrived payload) {
  std::shared_ptr<GridStreamState> stream = stream_of(token);
  stream->arrived(payload.take());
  if (stream->receiver && !std::exchange(stream->is_waking, true)) {
    to_wake_.push_back(std::move(stream));
  }
}

void GridProgram::wake_receivers() {
  if (to_wake_.empty()) {
    return;
  }
  std::vector<std::shared_ptr<GridStreamState>> streams = std::exchange(waking_, {});
  streams.swap(to_wake_);
  for (const std::shared_ptr<GridStreamState>& stream : streams) {
    stream->wake();
  }
  streams.clear();
  waking_ = std::move(streams);
}

void GridProgram::on_end(std::uint64_t token) {
  const std::shared_ptr<GridStreamState> stream = stream_of(token);
  trace_end(*stream, nullptr);
  stream->ended();
}

void GridProgram::on_room(std::uint64_t token) {
  const std::shared_ptr<GridStreamState> stream = stream_of(token);
  stream->has_room();
}

void GridProgram::cancel(GridStreamState& stream) {
  if (stream.is_caller && !stream.is_over) {
    const std::shared_ptr<GridStreamState> kept = stream.shared_from_this();
    // The connection's side of it may go before its last handle does.
    streams_.erase(&stream);
    kept->mux->cancel(kept->ref);
    world_.core().touch(*kept->mux);
    kept->inbox.clear();
    const GridError error = cancelled_error();
    trace_end(*kept, &error);
    kept->failed(error);
  }
}

// Handlers' streams have nothing to trace.
void GridProgram::trace_end(GridStreamState& stream, const GridError* error) {
  if (const auto traced = std::move(stream.traced); traced != nullptr) {
    options_.trace(traced->peer, traced->handler, world_.core().now().monotonic - traced->began,
                   error);
  }
}

// Nobody holds it any more.
void GridProgram::let_go(GridStreamState& stream) {
  const std::shared_ptr<GridStreamState> kept = stream.shared_from_this();
  kept->on_stop.reset();
  if (streams_.erase(&stream) > 0) {
    const GridError error = cancelled_error();
    trace_end(*kept, &error);
    kept->is_over = true;
    kept->mux->forget(kept->ref);
    world_.core().touch(*kept->mux);
  }
}

}  // namespace trunkline::net
