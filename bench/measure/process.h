// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::bench {

struct CpuTime {
  double user = 0;  // seconds, all threads
  double system = 0;
  double waiting = 0;  // ready to run, but no core was free

  [[nodiscard]] double total() const { return user + system; }
};

// A program under measurement: started here, ended here, by its own process id.
class Process {
 public:
  // Starts it and waits for its line "listening on http://HOST:PORT".
  [[nodiscard]] static Result<Process> start(const std::vector<std::string>& command);
  Process(Process&& other) noexcept;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  Process& operator=(Process&&) = delete;
  // SIGTERM, and waits.
  ~Process();

  [[nodiscard]] std::uint16_t port() const { return port_; }

  [[nodiscard]] CpuTime cpu() const;
  [[nodiscard]] std::uint64_t resident_bytes() const;

 private:
  Process(pid_t pid, std::uint16_t port) : pid_(pid), port_(port) {}

  pid_t pid_;
  std::uint16_t port_;
};

// Of this process.
[[nodiscard]] CpuTime own_cpu();

// Raises this process's limit of descriptors, and that of what it starts, as far as it goes;
// returns it.
std::size_t raise_descriptor_limit();

// A program of the build, beside this one.
[[nodiscard]] std::string program(const std::string& name);

[[nodiscard]] CpuTime operator-(const CpuTime& later, const CpuTime& earlier);

}  // namespace trunkline::bench
