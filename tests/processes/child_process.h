// SPDX-License-Identifier: Apache-2.0
//
// Programs that a test starts, reads the lines of, stops and kills. Times only keep a broken test
// from hanging.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace trunkline::processes {

inline constexpr std::chrono::seconds kPatience{90};

// What children say, in one place: whoever waits for several of them waits here.
class Heard {
 public:
  // Changes something that a condition looks at.
  template <class Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  // False: it did not come true. The condition must not call back.
  [[nodiscard]] bool wait(const std::function<bool()>& condition);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// Its standard output is read line by line; its errors go to the test's. Killed when this object
// goes or the test's main thread ends. Thread: the main thread.
class ChildProcess {
 public:
  using OnLine = std::function<void(std::string_view line)>;

  // `on_line` is told each line, on a thread of its own.
  explicit ChildProcess(std::vector<std::string> command, OnLine on_line = {});
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // Waits for a line that begins so, now or earlier. False: it has ended or says no such thing.
  [[nodiscard]] bool says(std::string_view beginning);
  void signal(int number) const;
  // SIGKILL, and waits for the end.
  void kill();
  // Waits for it to end by itself: its exit status, or 128 and the signal that has ended it; -1: it
  // does not end.
  [[nodiscard]] int wait();

  [[nodiscard]] pid_t id() const { return id_; }

  [[nodiscard]] std::vector<std::string> lines();
  // Bytes of memory, the most that it ever had resident. 0: it has ended.
  [[nodiscard]] std::size_t peak_memory() const;

 private:
  void read(int descriptor);

  OnLine on_line_;
  pid_t id_ = -1;
  bool has_ended_ = false;
  int status_ = -1;
  Heard heard_;
  std::vector<std::string> lines_;
  bool is_silent_ = false;  // its output has ended
  std::thread reader_;
};

// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  [[nodiscard]] std::filesystem::path path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A line's words.
[[nodiscard]] std::vector<std::string> words_of(std::string_view line);

}  // namespace trunkline::processes
