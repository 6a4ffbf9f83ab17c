// SPDX-License-Identifier: Apache-2.0
//
// Streams as the program sees them: what has arrived and waits, and who is told.
#include "net/grid_stream.h"

#include "net/grid_driver.h"
#include "net/grid_program.h"

#include <utility>

namespace trunkline {

using net::GridDriver;
using net::GridStreamPtr;

// --- the program's handles ---

GridStream::GridStream(net::GridStreamState& state) noexcept : state_(&state) {
  state.add_handle();
}

GridStream::GridStream(const GridStream& other) noexcept : state_(other.state_) {
  if (state_ != nullptr) {
    state_->add_handle();
  }
}

GridStream& GridStream::operator=(GridStream other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

GridStream::~GridStream() {
  if (state_ != nullptr) {
    state_->drop_handle();
  }
}

GridSending GridStream::send(Bytes message) const {
  return {*this, std::move(message)};
}

GridReceiving GridStream::receive() const {
  return GridReceiving(*this);
}

void GridStream::finish() {
  if (const std::shared_ptr<GridDriver> driver = state_->home->driver()) {
    driver->dispatch([state = GridStreamPtr(state_)] { state->finish(); });
  }
}

void GridStream::cancel() {
  if (const std::shared_ptr<GridDriver> driver = state_->home->driver()) {
    driver->dispatch(
        [there = driver.get(), state = GridStreamPtr(state_)] { there->program().cancel(*state); });
  }
}

namespace net {

namespace {

template <class Waiting>
Waiting* take(std::atomic<Waiting*>& place) {
  return place.load(std::memory_order_relaxed) == nullptr
             ? nullptr
             : place.exchange(nullptr, std::memory_order_acq_rel);
}

}  // namespace

GridDriver* GridHome::here() const {
  GridDriver* const here = GridDriver::here();
  return here != nullptr && here->program().home().get() == this ? here : nullptr;
}

GridStream GridDriver::make_stream(GridStreamState& state) {
  intrusive_ptr_add_ref(&state);  // of all handles together
  return GridStream(state);
}

void GridStreamState::drop_handle() {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) > 1) {
    return;
  }
  const GridStreamPtr kept(this, false);
  if (!is_caller) {
    return;
  }
  if (const std::shared_ptr<GridDriver> there = home->driver()) {
    there->dispatch([node = there.get(), kept] { node->program().let_go(*kept); });
  }
}

bool GridStreamState::try_add_reference() {
  std::uint32_t count = references_.load(std::memory_order_relaxed);
  while (count > 0) {
    if (references_.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel)) {
      return true;
    }
  }
  return false;
}

// --- what the grid tells ---

// Who waits is woken when the whole frame has been read: it costs as much for many messages as for
// one.
void GridStreamState::arrived(Bytes message) {
  inbox.push_back(std::move(message));
}

void GridStreamState::wake() {
  is_waking = false;
  if (!inbox.empty()) {
    tell_receiver();
  }
}

void GridStreamState::tell_receiver() {
  if (GridReceiving* const waiting = take(receiver); waiting != nullptr) {
    waiting->resume();
  }
}

void GridStreamState::ended() {
  input_ended = true;
  if (is_caller) {
    is_over = true;
    end_sender();
  }
  tell_receiver();
}

void GridStreamState::failed(GridError why) {
  const GridStreamPtr self(this);
  is_over = true;
  if (error == nullptr) {
    error = std::make_unique<const GridError>(std::move(why));
  }
  end_sender();
  tell_receiver();
}

void GridStreamState::end_sender() {
  if (GridSending* const waiting = take(sender); waiting != nullptr) {
    waiting->outcome_ = GridSending::Outcome::kClosed;
    waiting->resume();
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
  GridSending* const waiting = take(sender);
  if (waiting != nullptr && !waiting->begin()) {
    waiting->resume();
  }
}

// --- what the program asks; on the node's thread ---

bool GridStreamState::has_input() const {
  return !inbox.empty() || error != nullptr || input_ended || is_over;
}

GridResult<std::optional<Bytes>> GridStreamState::take_input() {
  if (!inbox.empty()) {
    Bytes message = std::move(inbox.front());
    inbox.pop_front();
    GridDriver& here = *GridDriver::here();
    here.begin_turn();
    // Its credit goes back now: it is the program's.
    mux->consumed(ref, message.size(), here.core().now().monotonic);
    here.core().touch(*mux);
    return std::optional<Bytes>(std::move(message));
  }
  if (error == nullptr && input_ended) {
    return std::optional<Bytes>();
  }
  return std::unexpected(why_closed());
}

bool GridStreamState::send(Bytes message) {
  GridDriver& here = *GridDriver::here();
  here.begin_turn();
  const grid::SendVerdict verdict = mux->send(ref, std::move(message));
  here.core().touch(*mux);
  return verdict == grid::SendVerdict::kAccepted;
}

void GridStreamState::finish() {
  if (is_caller && !is_over) {
    mux->finish(ref);
    GridDriver::here()->core().touch(*mux);
  }
}

// --- the program's table of them ---

void GridProgram::keep(GridStreamState& stream) {
  intrusive_ptr_add_ref(&stream);
  streams_.push_back(stream);
}

// It may be gone after this.
void GridProgram::drop(GridStreamState& stream) {
  stream.unlink();
  intrusive_ptr_release(&stream);
}

void GridProgram::wake_receivers() {
  if (to_wake_.empty()) {
    return;
  }
  std::vector<GridStreamPtr> streams = std::exchange(waking_, {});
  streams.swap(to_wake_);
  for (const GridStreamPtr& stream : streams) {
    stream->wake();
  }
  streams.clear();
  waking_ = std::move(streams);
}

void GridProgram::cancel(GridStreamState& stream) {
  if (!stream.is_caller || stream.is_over) {
    return;
  }
  const GridStreamPtr kept(&stream);
  // The connection's side of it may go before its last handle does.
  drop(stream);
  stream.mux->cancel(stream.ref);
  world_.core().touch(*stream.mux);
  stream.inbox.clear();
  const GridError error = cancelled_error();
  trace_end(stream, &error);
  stream.failed(error);
}

// Handlers' streams have nothing to trace.
void GridProgram::trace_end(GridStreamState& stream, const GridError* error) {
  // It is nobody's any more while it is told: whoever is told may let go of the stream.
  const std::unique_ptr<GridStreamState::Caller> caller = std::move(stream.caller);
  if (caller != nullptr && caller->is_traced) {
    options_.trace(caller->peer, caller->handler, world_.core().now().monotonic - caller->began,
                   error);
  }
}

// The program has no copy of it any more.
void GridProgram::let_go(GridStreamState& stream) {
  const GridStreamPtr kept(&stream);
  if (stream.is_linked()) {
    const GridError error = cancelled_error();
    trace_end(stream, &error);
    drop(stream);
    stream.is_over = true;
    stream.mux->forget(stream.ref);
    world_.core().touch(*stream.mux);
  }
}

}  // namespace net

}  // namespace trunkline
