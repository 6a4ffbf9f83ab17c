// SPDX-License-Identifier: Apache-2.0
#include "processes/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace trunkline::processes {

bool Heard::wait(const std::function<bool()>& condition) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, condition);
}

ChildProcess::ChildProcess(std::vector<std::string> command, OnLine on_line)
    : on_line_(std::move(on_line)) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    ADD_FAILURE() << "no pipe";
    std::abort();
  }
  // Made before the fork: afterwards only what a signal handler may call.
  std::vector<char*> arguments;
  for (std::string& each : command) {
    arguments.push_back(each.data());
  }
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  id_ = ::fork();
  if (id_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent && ::dup2(pipe[1], STDOUT_FILENO) >= 0) {
      ::execv(arguments[0], arguments.data());
    }
    ::_exit(127);
  }
  ::close(pipe[1]);
  if (id_ < 0) {
    ADD_FAILURE() << "no process";
    std::abort();
  }
  reader_ = std::thread([this, from = pipe[0]] { read(from); });
}

ChildProcess::~ChildProcess() {
  kill();
  reader_.join();
}

void ChildProcess::read(int descriptor) {
  std::string rest;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    rest.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      const std::string line = rest.substr(0, end);
      rest.erase(0, end + 1);
      heard_.change([&] { lines_.push_back(line); });
      if (on_line_) {
        on_line_(line);
      }
    }
  }
  ::close(descriptor);
  heard_.change([&] { is_silent_ = true; });
}

bool ChildProcess::says(std::string_view beginning) {
  const auto is_said = [&] {
    return std::ranges::any_of(
        lines_, [&](const std::string& line) { return line.starts_with(beginning); });
  };
  bool said = false;
  const bool decided = heard_.wait([&] {
    said = is_said();
    return said || is_silent_;
  });
  return decided && said;
}

std::vector<std::string> ChildProcess::lines() {
  std::vector<std::string> copy;
  heard_.change([&] { copy = lines_; });
  return copy;
}

void ChildProcess::signal(int number) const {
  if (!has_ended_) {
    ::kill(id_, number);
  }
}

void ChildProcess::kill() {
  signal(SIGKILL);
  static_cast<void>(wait());
}

int ChildProcess::wait() {
  if (has_ended_) {
    return status_;
  }
  // A descriptor of the process says when it has ended, without reaping it.
  const auto watch = static_cast<int>(::syscall(SYS_pidfd_open, id_, 0));
  pollfd polled{watch, POLLIN, 0};
  const auto patience = std::chrono::milliseconds(kPatience);
  const int ready = ::poll(&polled, 1, static_cast<int>(patience.count()));
  ::close(watch);
  int raw = 0;
  if (ready != 1 || ::waitpid(id_, &raw, 0) != id_) {
    return -1;
  }
  has_ended_ = true;
  status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return status_;
}

std::size_t ChildProcess::peak_memory() const {
  std::ifstream file(fmt::format("/proc/{}/status", id_));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::stoul(words_of(line).at(1)) * 1024;
    }
  }
  return 0;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "processes-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    ADD_FAILURE() << "no temporary folder";
    std::abort();
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> words_of(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return words;
}

}  // namespace trunkline::processes
