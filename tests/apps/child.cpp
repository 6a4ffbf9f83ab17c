// SPDX-License-Identifier: Apache-2.0
#include "apps/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

extern char** environ;

namespace trunkline::app {

namespace {

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Child::Child(std::vector<std::string> arguments, const std::vector<std::string>& environment) {
  std::array<std::array<int, 2>, 3> pipes{};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; ++i) {
    auto& ends = pipes[static_cast<std::size_t>(i)];
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_adddup2(&actions, ends[i == 0 ? 0 : 1], i);
  }
  arguments.insert(arguments.begin(), TRUNKLINE_BINARY);
  std::vector<std::string> variables = environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  const std::vector<char*> argv = pointers_to(arguments);
  const std::vector<char*> envp = pointers_to(variables);
  EXPECT_EQ(::posix_spawn(&process_, TRUNKLINE_BINARY, &actions, nullptr, argv.data(), envp.data()),
            0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipes[0][0]);
  ::close(pipes[1][1]);
  ::close(pipes[2][1]);
  input_ = pipes[0][1];
  readers_.emplace_back([this, from = pipes[1][0]] { read(from, out_); });
  readers_.emplace_back([this, from = pipes[2][0]] { read(from, err_); });
}

Child::~Child() {
  end_input();
  if (!is_reaped_) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  for (std::thread& reader : readers_) {
    reader.join();
  }
}

void Child::read(int descriptor, std::string& into) {
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    changed_.change([&] { into.append(buffer.data(), static_cast<std::size_t>(got)); });
  }
  ::close(descriptor);
  changed_.change([this] { --open_; });
}

void Child::write(std::string_view text) const {
  EXPECT_EQ(::write(input_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void Child::end_input() {
  if (input_ >= 0) {
    ::close(std::exchange(input_, -1));
  }
}

bool Child::says(std::string_view text) {
  return changed_.wait([&] { return out_.find(text) != std::string::npos || open_ == 0; }) &&
         out().find(text) != std::string::npos;
}

bool Child::tells(std::string_view text) {
  return changed_.wait([&] { return err_.find(text) != std::string::npos || open_ == 0; }) &&
         err().find(text) != std::string::npos;
}

void Child::signal(int number) const {
  ::kill(process_, number);
}

int Child::ends() {
  if (!changed_.wait([this] { return open_ == 0; })) {
    return -1;
  }
  int status = 0;
  EXPECT_EQ(::waitpid(process_, &status, 0), process_);
  is_reaped_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string Child::out() {
  std::string copy;
  changed_.change([&] { copy = out_; });
  return copy;
}

std::string Child::err() {
  std::string copy;
  changed_.change([&] { copy = err_; });
  return copy;
}

}  // namespace trunkline::app
