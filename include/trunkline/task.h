// SPDX-License-Identifier: Apache-2.0
//
// What a coroutine of this library returns: a computation that runs when it is awaited and ends
// with one value.
//
//   Task<int> answer() { co_return 42; }
//   Task<int> twice() { co_return 2 * co_await answer(); }
//
// A lambda's captures belong to the lambda, not to the coroutine: keep the lambda alive, as the
// server does with its handlers, or pass what is needed as arguments.
//
// g++ 12 destroys the captures of a lambda that is written inside a co_await expression twice: let
// it capture by reference what lives in the coroutine, or give it a name in a line of its own. It
// also goes wrong where a co_await stands in a condition, beside && and ||, or in ?: and switch:
// give what is awaited a name in a line of its own.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

namespace trunkline {

template <class T>
class Task;

namespace detail {

template <class T, class Done>
class RunningTask;

// Whoever waits for a task: what to go on with when it has ended.
struct Waiter {
  std::coroutine_handle<> (*next)(void* context) noexcept;
  void* context;
};

inline Waiter waiter_of(std::coroutine_handle<> awaiting) noexcept {
  return {[](void* context) noexcept { return std::coroutine_handle<>::from_address(context); },
          awaiting.address()};
}

// Goes on with whoever waits for the task, on the thread that ended it, without growing the stack.
struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }

  // The task may be gone when the waiter has been told.
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    const Waiter waiter = ended.promise().waiter;
    return waiter.next(waiter.context);
  }

  void await_resume() const noexcept {}
};

template <class T>
class TaskPromise {
 public:
  Task<T> get_return_object();

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }

  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

  template <class U>
  void return_value(U&& value) {
    result_.template emplace<1>(std::forward<U>(value));
  }

  void unhandled_exception() { result_.template emplace<2>(std::current_exception()); }

  // Once, when it has ended. Throws what the coroutine threw.
  T take() {
    if (auto* thrown = std::get_if<2>(&result_)) {
      std::rethrow_exception(*thrown);
    }
    return std::move(std::get<1>(result_));
  }

  Waiter waiter{};  // before it runs

 private:
  std::variant<std::monostate, T, std::exception_ptr> result_;
};

}  // namespace detail

// Move-only. Destroying one that has not ended destroys what the coroutine holds. Thread: one at a
// time; it goes on wherever what it awaits is completed.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}

  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;

  ~Task() {
    if (handle_) {
      handle_.destroy();
    }
  }

  // Runs it; once.
  auto operator co_await() && {
    struct Awaiter {
      Handle handle;

      [[nodiscard]] bool await_ready() const noexcept { return false; }

      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        handle.promise().waiter = detail::waiter_of(awaiting);
        return handle;
      }

      T await_resume() const { return handle.promise().take(); }
    };

    return Awaiter{handle_};
  }

 private:
  template <class U, class Done>
  friend class detail::RunningTask;

  Handle handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

// A task that no coroutine waits for, and who is told when it has ended.
template <class T, class Done>
class RunningTask {
 public:
  static void start(Task<T> task, Done done) {
    auto* const running = new RunningTask(std::move(task), std::move(done));
    running->task_.handle_.promise().waiter = {&RunningTask::ended, running};
    running->task_.handle_.resume();  // it may have ended, and this be gone
  }

 private:
  RunningTask(Task<T> task, Done done) : task_(std::move(task)), done_(std::move(done)) {}

  // noexcept: run_task()'s callback may not throw.
  static std::coroutine_handle<> ended(void* context) noexcept {
    const std::unique_ptr<RunningTask> running(static_cast<RunningTask*>(context));
    running->tell();
    return std::noop_coroutine();
  }

  void tell() {
    std::optional<T> value;
    try {
      value.emplace(task_.handle_.promise().take());
    } catch (...) {
      done_(std::optional<T>{}, std::current_exception());
      return;
    }
    done_(std::move(value), std::exception_ptr{});
  }

  Task<T> task_;
  Done done_;
};

}  // namespace detail

// Runs a task from ordinary code: here and now as far as it goes by itself. `done(value, thrown)`
// is called once when it ends, on the thread that ended it: std::optional<T> with the value, or
// none and a std::exception_ptr with what it threw.
template <class T, class Done>
void run_task(Task<T> task, Done done) {
  detail::RunningTask<T, Done>::start(std::move(task), std::move(done));
}

}  // namespace trunkline
