// SPDX-License-Identifier: Apache-2.0
//
// The server that `jobs` measures: an rpc that answers at once, and a job that works a little, over
// and over, and tells its progress until it is cancelled.
#include <trunkline/server.h>

#include <fmt/core.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

namespace {

using namespace trunkline;
using namespace std::chrono_literals;

constexpr auto kPause = 100ms;
constexpr auto kWork = 20us;
constexpr int kPartsAProgress = 10;

// Until the time is over or the job is cancelled.
void rest(const Job& job) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, job.stop_token(), kPause, [] { return false; });
}

Answer<std::string> rescan(const Job& job) {
  std::uint64_t found = 0;
  for (int part = 0; !job.cancelled(); ++part) {
    for (const auto until = std::chrono::steady_clock::now() + kWork;
         std::chrono::steady_clock::now() < until;) {
      ++found;
    }
    if (part % kPartsAProgress == 0) {
      job.progress(fmt::format(R"({{"part":{},"found":{}}})", part, found));
    }
    rest(job);
  }
  return "null";
}

}  // namespace

int main() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigprocmask(SIG_BLOCK, &ending, nullptr);

  ServerOptions options;
  options.demo = true;
  options.port = 0;
  options.config_json =
      R"({"trunkline":{"jobs":{"per_client_max":1,"total_max":10000,"threads":1024,"grace":"0s"}}})";
  auto server = Server::create(std::move(options));
  if (!server.has_value()) {
    fmt::print(stderr, "{}\n", to_string(server.error()));
    return 1;
  }
  (*server)->on_rpc("ping", [](RpcRequest) -> Task<Answer<std::string>> { co_return "1"; });
  (*server)->on_job("rescan", [](const Job& job) -> Answer<std::string> { return rescan(job); });
  if (const Result<void> started = (*server)->start(); !started.has_value()) {
    fmt::print(stderr, "{}\n", to_string(started.error()));
    return 1;
  }
  fmt::print("listening on {}\n", (*server)->url());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ending, &signal);
  return 0;
}
