// SPDX-License-Identifier: Apache-2.0
//
// A ledger of millions of transactions that grows by ten blocks a second. Each block is told in the
// channel `blocks` as it is added; the job `rescan` reads the whole ledger for one account, tells
// how far it is, and holds up nothing: neither the blocks nor the call `balance`. Who loses the
// connection meanwhile finds blocks and progress again without a gap. A page shows it all.
//
//   rescan [SECONDS] [--records N] [--port P] [--file F]
//
// With SECONDS it visits itself for about so long: a rescan over a connection that breaks half-way.
// Ends with an error when a block or a message of the job is missing, is there twice, or when the
// rescan has not found what a plain query finds. Without SECONDS it ends by a signal.
//
// Whoever connects says who he is, {"user":"alice"}, and is believed: this is an example of jobs.
//
//   rescan/ledger.h   the ledger in SQLite
//   rescan/visitor.h  the visit
//   rescan/page/      the page, on the bare protocol
#include <trunkline/server.h>

#include "rescan/ledger.h"
#include "rescan/pages.h"
#include "rescan/visitor.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace rescan {
namespace {

using nlohmann::json;
using trunkline::Answer;
using trunkline::Server;
using trunkline::Task;

constexpr auto kBlockInterval = std::chrono::milliseconds(100);
constexpr std::int64_t kBlocksPerStep = 50;  // of a rescan, between two looks around
// Times progress, evenly: fewer than a job's channel keeps messages (trunkline.jobs.history_size,
// 100), so that whoever comes back late still finds everything, the result above all.
constexpr std::int64_t kTellings = 80;
constexpr std::uint32_t kBadRequest = 107;  // the protocol's

struct Arguments {
  int seconds = 0;
  std::int64_t records = 0;
  std::uint16_t port = 8000;
  std::string file;
};

// Waits so long, or until the token says stop.
void pause(const std::stop_token& stop, std::chrono::steady_clock::time_point until) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_until(lock, stop, until, [] { return false; });
}

std::string to_json(const Block& block) {
  // As text: a number of 64 bits is more than JavaScript has room for.
  const auto hex = [](std::uint64_t hash) { return fmt::format("{:016x}", hash); };
  return json{{"height", block.height},
              {"hash", hex(block.hash)},
              {"previous", hex(block.previous)},
              {"transactions", kTransactionsPerBlock}}
      .dump();
}

// An integer of a request's data; `fallback` where it is not said, -1 where it is something else.
std::int64_t integer(const std::string& data, const char* name, std::int64_t fallback) {
  const json request = json::parse(data, nullptr, false);
  if (!request.is_object() || !request.contains(name)) {
    return fallback;
  }
  const json& value = request[name];
  return value.is_number_integer() ? value.get<std::int64_t>() : -1;
}

bool is_account(std::int64_t number) {
  return number >= 1 && number <= kAccounts;
}

std::unexpected<trunkline::Refusal> no_such_account() {
  return trunkline::refuse(kBadRequest, fmt::format("accounts are 1 to {}", kAccounts));
}

std::string progress_json(const Scan& scan) {
  return json{{"height", scan.height()}, {"of", scan.of()}, {"found", scan.found().transactions}}
      .dump();
}

// The job: {"account":n,"from":height,"rate":records a second}; from 1 and as fast as it can if
// not said.
Answer<std::string> scan(const std::string& file, const trunkline::Job& job) {
  const std::int64_t account = integer(job.data(), "account", 0);
  const std::int64_t from = integer(job.data(), "from", 1);
  const std::int64_t rate = integer(job.data(), "rate", 0);
  if (!is_account(account)) {
    return no_such_account();
  }
  if (from < 0 || rate < 0) {
    return trunkline::refuse(kBadRequest, "from and rate are numbers from 0 on");
  }
  Scan ledger(file, account, from);
  const std::int64_t telling = (ledger.of() - ledger.height()) / kTellings;
  std::int64_t tell_at = 0;
  while (ledger.height() < ledger.of() && !job.cancelled()) {
    const auto began = std::chrono::steady_clock::now();
    for (std::int64_t read = 0; read < kBlocksPerStep && ledger.next();) {
      ++read;
    }
    if (ledger.height() >= tell_at || ledger.height() == ledger.of()) {
      tell_at = ledger.height() + telling;
      job.progress(progress_json(ledger));
    }
    if (rate > 0) {
      const std::chrono::duration<double> step(
          static_cast<double>(kBlocksPerStep * kTransactionsPerBlock) / static_cast<double>(rate));
      pause(job.stop_token(),
            began + std::chrono::duration_cast<std::chrono::steady_clock::duration>(step));
    }
  }
  return json{{"found", ledger.found().transactions},
              {"balance", ledger.found().balance},
              {"height", ledger.height()}}
      .dump();
}

// The fast command: {"account":n}. Pointers, since a coroutine keeps its parameters beyond the
// call.
Task<Answer<std::string>> balance(Server* server, Ledger* ledger, trunkline::RpcRequest request) {
  const std::int64_t number = integer(request.data, "account", 0);
  if (!is_account(number)) {
    co_return no_such_account();
  }
  // A disk is a disk: not on the thread of the client's shard.
  const auto account = co_await server->offload([&] { return ledger->account(number); });
  if (!account.has_value()) {
    co_return trunkline::refuse(100, trunkline::to_string(account.error()));
  }
  co_return json{{"account", number}, {"balance", account->balance}, {"height", account->height}}
      .dump();
}

void offer(Server& server, Ledger& ledger) {
  server.on_connect([](trunkline::ConnectRequest request) -> Task<Answer<trunkline::ConnectReply>> {
    const json said = json::parse(request.data, nullptr, false);
    if (!said.is_object() || !said.contains("user") || !said["user"].is_string() ||
        said["user"].get_ref<const std::string&>().empty()) {
      co_return trunkline::refuse(kBadRequest, R"(say who you are: {"user":"alice"})");
    }
    co_return trunkline::ConnectReply{
        .user = said["user"].get<std::string>(), .info = "", .data = "", .expire_at = {}};
  });
  server.on_subscribe(
      "blocks", [](trunkline::SubscribeRequest) -> Task<Answer<trunkline::SubscribeReply>> {
        co_return trunkline::SubscribeReply{.info = "", .data = "", .expire_at = {}};
      });
  server.on_rpc("balance", [&](trunkline::RpcRequest request) {
    return balance(&server, &ledger, std::move(request));
  });
  server.on_job("rescan", [&](trunkline::Job job) -> Answer<std::string> {
    return scan(ledger.file(), job);
  });
}

// Adds a block at each interval and publishes it, until it is told to stop.
void grow(const std::stop_token& stop, Ledger& ledger, trunkline::Hub& hub) {
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    hub.publish("blocks", to_json(ledger.add_block()));
    // Who was suspended does not make up for it.
    next = std::max(next + kBlockInterval, std::chrono::steady_clock::now());
    pause(stop, next);
  }
}

// A folder for a ledger that nobody wants to keep.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ledger-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error("no temporary folder: " + name);
    }
    path_ = name;
  }

  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::unique_ptr<Server> make_server(std::uint16_t port) {
  trunkline::ServerOptions options;
  options.config_json = R"({"channel": {"without_namespace":
      {"history_size": 1000, "history_ttl": "10m", "force_recovery": true}}})";
  options.port = port;
  options.pages = pages();
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "rescan: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  auto server = Server::create(std::move(options));
  if (!server.has_value()) {
    throw std::runtime_error(trunkline::to_string(server.error()));
  }
  return std::move(*server);
}

int run(const Arguments& arguments) {
  // Blocked before any thread exists: the signals are this thread's to wait for.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const TemporaryFolder folder;
  Ledger ledger(arguments.file.empty() ? folder.file("ledger.sqlite") : arguments.file,
                arguments.records);
  const std::unique_ptr<Server> server = make_server(arguments.port);
  offer(*server, ledger);
  if (const auto started = server->start(); !started.has_value()) {
    throw std::runtime_error(trunkline::to_string(started.error()));
  }
  std::printf("listening on %s\n", server->url().c_str());
  std::fflush(stdout);

  bool good = true;
  {
    const std::jthread growing(
        [&](const std::stop_token& stop) { grow(stop, ledger, server->hub()); });
    if (arguments.seconds > 0) {
      good = visit(*server, ledger, arguments.seconds);
    } else {
      int received = 0;
      sigwait(&signals, &received);
    }
  }
  server->stop();
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace rescan

int main(int argc, char** argv) {
  rescan::Arguments arguments;
  CLI::App app("A ledger with live blocks and a rescan; the page is at /");
  app.add_option("SECONDS", arguments.seconds, "Visit itself for so long; 0: serve until a signal")
      ->check(CLI::Range(0, 3600));
  app.add_option("--records", arguments.records, "Transactions to begin with (3,000,000)")
      ->check(CLI::PositiveNumber);
  app.add_option("--port", arguments.port, "Port to listen on (8000); 0: any free one");
  app.add_option("--file", arguments.file, "The ledger's file (a temporary one)");
  CLI11_PARSE(app, argc, argv);
  if (arguments.seconds > 0 && app.count("--port") == 0) {
    arguments.port = 0;
  }
  if (arguments.records == 0) {
    arguments.records = arguments.seconds > 0 ? 200'000 : 3'000'000;
  }
  try {
    return rescan::run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rescan: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
