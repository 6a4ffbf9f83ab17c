// SPDX-License-Identifier: Apache-2.0
//
// Handlers that may block: taken to a thread of the pool, where they wait for what the node's
// thread does.
#include <trunkline/grid.h>

#include "net/grid_driver.h"

#include <exception>
#include <future>
#include <utility>

namespace trunkline {

namespace {

// Runs it to its end, and waits.
template <class T>
T wait_for(Task<T> task) {
  std::promise<T> promise;
  std::future<T> future = promise.get_future();
  run_task(std::move(task), [&promise](std::optional<T> value, const std::exception_ptr& thrown) {
    if (value.has_value()) {
      promise.set_value(std::move(*value));
    } else {
      promise.set_exception(thrown);
    }
  });
  return future.get();
}

std::unexpected<GridError> nobody_waits() {
  return std::unexpected(
      GridError{GridCode::kCancelled, GridOrigin::kCaller, 0, false, "nobody waits any more"});
}

Task<GridResult<Bytes>> serve_blocking(std::shared_ptr<net::GridDriver> driver,
                                       std::shared_ptr<const GridBlockingHandler> handler,
                                       GridRequest request) {
  // Named, and awaited by itself: g++ 12 never goes on from one that waits inside a condition.
  detail::GridHop hop(std::move(driver));
  const bool has_hopped = co_await hop;
  if (!has_hopped) {
    co_return detail::no_thread();
  }
  if (request.stop.stop_requested()) {
    co_return nobody_waits();
  }
  co_return (*handler)(std::move(request));
}

Task<GridResult<void>> serve_blocking_stream(
    std::shared_ptr<net::GridDriver> driver,
    std::shared_ptr<const GridBlockingStreamHandler> handler, GridRequest request,
    GridStream stream) {
  detail::GridHop hop(std::move(driver));
  const bool has_hopped = co_await hop;
  if (!has_hopped) {
    co_return detail::no_thread();
  }
  if (request.stop.stop_requested()) {
    co_return nobody_waits();
  }
  co_return (*handler)(std::move(request), GridBlockingStream(std::move(stream)));
}

}  // namespace

bool detail::GridHop::await_suspend(std::coroutine_handle<> waiter) {
  if (driver_ == nullptr || driver_->has_stopped()) {
    return false;
  }
  has_hopped_ = true;
  // This object, and the driver with it, may be gone as soon as the work is posted.
  const std::shared_ptr<net::GridDriver> driver = std::move(driver_);
  driver->blocking().post([waiter] { waiter.resume(); });
  return true;
}

GridResult<void> GridBlockingStream::send(Bytes message) {
  return wait_for(stream_.send(std::move(message)).as_task());
}

GridResult<std::optional<Bytes>> GridBlockingStream::receive() {
  return wait_for(stream_.receive().as_task());
}

void GridNode::handle_blocking(std::string handler_name, GridBlockingHandler handler) {
  auto kept = std::make_shared<const GridBlockingHandler>(std::move(handler));
  // The node's inside holds its handlers, so these must not hold it.
  handle(std::move(handler_name),
         GridHandler([weak = std::weak_ptr(driver_), kept = std::move(kept)](GridRequest request) {
           return serve_blocking(weak.lock(), kept, std::move(request));
         }));
}

void GridNode::handle_blocking_stream(std::string handler_name, GridBlockingStreamHandler handler,
                                      GridStreamLimits limits) {
  auto kept = std::make_shared<const GridBlockingStreamHandler>(std::move(handler));
  handle_stream(std::move(handler_name),
                GridStreamHandler([weak = std::weak_ptr(driver_), kept = std::move(kept)](
                                      GridRequest request, GridStream stream) {
                  return serve_blocking_stream(weak.lock(), kept, std::move(request),
                                               std::move(stream));
                }),
                limits);
}

}  // namespace trunkline
