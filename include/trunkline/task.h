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
// it capture by reference what lives in the coroutine, or give it a name in a line of its own.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>
#include <variant>

namespace trunkline {

template <class T>
class Task;

namespace detail {

struct Detached;
template <class T, class Done>
Detached start_task(Task<T> task, Done done);

// Goes on with whoever awaits the task, on the thread that ended it, without growing the stack.
struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    return ended.promise().continuation;
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

  std::coroutine_handle<> continuation = std::noop_coroutine();

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
        handle.promise().continuation = awaiting;
        return handle;
      }

      T await_resume() const { return handle.promise().take(); }
    };

    return Awaiter{handle_};
  }

 private:
  template <class U, class Done>
  friend detail::Detached detail::start_task(Task<U> task, Done done);

  Handle handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

// A coroutine that nobody waits for; its frame goes when it has ended.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }

    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }

    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }

    void return_void() const noexcept {}

    // run_task() catches what a task throws; its callback may not throw.
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

// Runs a task to its end and leaves there what it has come to.
template <class T>
struct UntilEnded {
  std::coroutine_handle<TaskPromise<T>> task;

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
    task.promise().continuation = awaiting;
    return task;
  }

  void await_resume() const noexcept {}
};

template <class T, class Done>
void tell_end(TaskPromise<T>& ended, Done& done) {
  std::optional<T> value;
  try {
    value.emplace(ended.take());
  } catch (...) {
    done(std::optional<T>{}, std::current_exception());
    return;
  }
  done(std::move(value), std::exception_ptr{});
}

// Its frame is there for as long as the task runs: it holds no value and no exception.
template <class T, class Done>
Detached start_task(Task<T> task, Done done) {
  co_await UntilEnded<T>{task.handle_};
  tell_end(task.handle_.promise(), done);
}

}  // namespace detail

// Runs a task from ordinary code: here and now as far as it goes by itself. `done(value, thrown)`
// is called once when it ends, on the thread that ended it: std::optional<T> with the value, or
// none and a std::exception_ptr with what it threw.
template <class T, class Done>
void run_task(Task<T> task, Done done) {
  detail::start_task(std::move(task), std::move(done));
}

}  // namespace trunkline
