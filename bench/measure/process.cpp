// SPDX-License-Identifier: Apache-2.0
#include "measure/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

namespace trunkline::bench {

namespace {

// The port in the line that a subject prints once it listens; 0 when it ended
// without one.
std::uint16_t read_port(int descriptor) {
  std::string text;
  char letter = 0;
  while (::read(descriptor, &letter, 1) == 1) {
    text += letter;
    if (letter == '\n') {
      const std::size_t colon = text.rfind(':');
      if (text.find("listening on http://") != std::string::npos) {
        return static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1));
      }
      text.clear();
    }
  }
  return 0;
}

CpuTime cpu_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  // Behind the name in parentheses, which may hold blanks; utime and stime are
  // fields 14 and 15.
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) {
    fields >> skipped;
  }
  double user = 0;
  double system = 0;
  fields >> user >> system;
  // Those are sampled by the clock's tick, which short bursts of work escape;
  // the scheduler's own account is exact but does not tell user from system.
  double exact = 0;
  double waiting = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream account(task.path() / "schedstat");
    double ran_ns = 0;
    double waited_ns = 0;
    account >> ran_ns >> waited_ns;
    exact += ran_ns / 1e9;
    waiting += waited_ns / 1e9;
  }
  const double share = user + system > 0 ? user / (user + system) : 0;
  return {exact * share, exact * (1 - share), waiting};
}

}  // namespace

Result<Process> Process::start(const std::vector<std::string>& command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail(ErrorCode::kSystem, "no pipe");
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command) {
      arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  const std::uint16_t port = read_port(ends[0]);
  ::close(ends[0]);
  Process process(pid, port);
  if (port == 0) {
    return fail(ErrorCode::kSystem, fmt::format("{} did not start", command.front()));
  }
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), port_(other.port_) {}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
}

CpuTime Process::cpu() const {
  return cpu_of(pid_);
}

std::uint64_t Process::resident_bytes() const {
  std::ifstream file(fmt::format("/proc/{}/statm", pid_));
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

CpuTime own_cpu() {
  return cpu_of(::getpid());
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::string program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

CpuTime operator-(const CpuTime& later, const CpuTime& earlier) {
  return {later.user - earlier.user, later.system - earlier.system,
          later.waiting - earlier.waiting};
}

}  // namespace trunkline::bench
