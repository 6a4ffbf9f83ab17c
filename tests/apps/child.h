// SPDX-License-Identifier: Apache-2.0
//
// The binary as a child process: what goes in, what comes out, and how it ends.
#pragma once

#include "net/grid_fixture.h"

#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace trunkline::app {

class Child {
 public:
  // `environment`: NAME=VALUE beside what this process has.
  Child(std::vector<std::string> arguments, const std::vector<std::string>& environment);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Kills it when it has not ended.
  ~Child();

  // Into its standard input.
  void write(std::string_view text) const;
  void end_input();
  // Waits until its standard output, or its standard error, has the text.
  [[nodiscard]] bool says(std::string_view text);
  [[nodiscard]] bool tells(std::string_view text);
  void signal(int number) const;
  // Its exit status; -1 when it does not end, or ends by a signal.
  [[nodiscard]] int ends();

  [[nodiscard]] std::string out();
  [[nodiscard]] std::string err();

 private:
  void read(int descriptor, std::string& into);

  pid_t process_ = -1;
  int input_ = -1;
  net::Signal changed_;
  std::string out_;
  std::string err_;
  int open_ = 2;  // of the two outputs
  bool is_reaped_ = false;
  std::vector<std::thread> readers_;
};

}  // namespace trunkline::app
