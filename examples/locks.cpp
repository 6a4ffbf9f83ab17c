// SPDX-License-Identifier: Apache-2.0
//
// A lock service on a few nodes of the grid, three as a rule. A lock is whose more than half of the
// nodes say; so it goes on, and stays right, while fewer than half of them are down, cut off,
// restarted or stopped for a while.
//
//   locks --name HOST:PORT --peers A,B,C [--takers X,Y] [--lease MS] [WORD …]
//
// `--peers` are the lock nodes, the same list everywhere. A program whose own name is among them
// serves; one with a word also takes, and ends when it is done:
//
//   hold LOCK                     takes the lock, says so, keeps it until a signal
//
//   count LOCK FILE [--times N]   adds 1 to the number in FILE under the lock, N times
//
//   bench [--times N]             takes and gives back a lock of its own, N times
//
// A taker that is no lock node needs a name, too, which the nodes are told with `--takers`: a node
// talks to nobody whom it does not know. `hold` ends with 3 when it has lost the lock.
//
//   locks --name 127.0.0.1:7001 --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --takers me &
//   (the same for 7002 and 7003)
//   locks --name me --peers 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 hold door
//
//   locks/messages.h    what is said, with a codec of a few lines
//   locks/lock_table.h  what a node knows, and why it may forget it
//   locks/taker.h       taking and holding, and what makes it right
#include <trunkline/grid.h>

#include "locks/lock_table.h"
#include "locks/taker.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace locks {
namespace {

using std::chrono::milliseconds;
using trunkline::GridNode;
using trunkline::GridPeer;
using trunkline::GridRequest;
using trunkline::GridResult;
using trunkline::Task;

constexpr std::size_t kLocksMax = 100'000;
constexpr int kLost = 3;

struct Arguments {
  std::string name;
  std::vector<std::string> peers;
  std::vector<std::string> takers;
  std::string secret = "change me for real";
  int lease_ms = 10'000;
  std::string lock;
  std::string file;
  int times = 1000;
};

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// The table of this node: its peers ask it on the grid's thread, this program itself on its own.
class Service {
 public:
  explicit Service(milliseconds lease) : table_(lease, kLocksMax, Clock::now()) {}

  LockReply take(Verb verb, const LockRequest& request) {
    const std::lock_guard lock(mutex_);
    switch (verb) {
      case Verb::kAcquire:
        return table_.acquire(request, Clock::now());
      case Verb::kRefresh:
        return table_.refresh(request, Clock::now());
      case Verb::kRelease:
        break;
    }
    return table_.release(request, Clock::now());
  }

  [[nodiscard]] Clock::time_point grants_from() const { return table_.grants_from(); }

 private:
  std::mutex mutex_;
  LockTable table_;
};

const char* handler_of(Verb verb) {
  switch (verb) {
    case Verb::kAcquire:
      return "lock/acquire";
    case Verb::kRefresh:
      return "lock/refresh";
    case Verb::kRelease:
      break;
  }
  return "lock/release";
}

void serve(GridNode& node, Service& service) {
  for (const Verb verb : {Verb::kAcquire, Verb::kRefresh, Verb::kRelease}) {
    node.handle<LockRequest, LockReply>(
        handler_of(verb),
        [&service, verb](LockRequest request, GridRequest) -> Task<GridResult<LockReply>> {
          co_return service.take(verb, request);
        });
  }
}

// A release waits for a node that is away, others do not: who asks has no time.
Voter remote(GridPeer peer) {
  return [peer = std::move(peer)](Verb verb, const LockRequest& request, milliseconds timeout,
                                  std::function<void(std::optional<LockReply>)> done) {
    trunkline::GridCallOptions options;
    options.timeout = std::max(timeout, milliseconds(1));
    options.wait_ready = options.idempotent = verb == Verb::kRelease;
    trunkline::run_task(peer.call<LockRequest, LockReply>(handler_of(verb), request, options),
                        [done = std::move(done)](const std::optional<GridResult<LockReply>>& reply,
                                                 const std::exception_ptr&) {
                          const bool answered = reply.has_value() && reply->has_value();
                          done(answered ? std::optional<LockReply>(**reply) : std::nullopt);
                        });
  };
}

Voter local(Service& service) {
  return [&service](Verb verb, const LockRequest& request, milliseconds,
                    const std::function<void(std::optional<LockReply>)>& done) {
    done(service.take(verb, request));
  };
}

// --- the words ---

// The signals end it, from a thread that waits for them.
class Signals {
 public:
  // Before any other thread exists.
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    thread_ = std::thread([this] {
      int received = 0;
      sigwait(&set_, &received);
      stop_.request_stop();
    });
  }

  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  ~Signals() {
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

  [[nodiscard]] std::stop_token stop() const { return stop_.get_token(); }

 private:
  sigset_t set_{};
  std::stop_source stop_;
  std::thread thread_;
};

// Waits until one of them is requested, or until a time.
void wait_for(const std::stop_token& one, const std::stop_token& other,
              Clock::time_point until = Clock::time_point::max()) {
  std::mutex mutex;
  std::condition_variable_any changed;
  const std::stop_callback wake(other, [&] {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  if (until == Clock::time_point::max()) {
    changed.wait(lock, one, [&other] { return other.stop_requested(); });
  } else {
    changed.wait_until(lock, one, until, [&other] { return other.stop_requested(); });
  }
}

int hold(Taker& taker, const Arguments& arguments, const std::stop_token& stop) {
  const std::unique_ptr<Hold> held = taker.take(arguments.lock, stop);
  if (held == nullptr) {
    return EXIT_FAILURE;
  }
  say("held " + arguments.lock);
  wait_for(stop, held->lost());
  if (held->lost().stop_requested()) {
    say("lost " + arguments.lock);
    return kLost;
  }
  return EXIT_SUCCESS;
}

long read_number(const std::string& file) {
  long number = 0;
  std::ifstream(file) >> number;
  return number;
}

// In its place and at once: whoever is killed leaves the old number or the new one.
void write_number(const std::string& file, long number) {
  std::ofstream(file, std::ios::in) << fmt::format("{:019}\n", number);
}

// Says for each time what was written and the time between which the lock was certainly held:
// "counted NUMBER from NS to NS". When it was lost meanwhile: "uncertain NUMBER from NS to NS".
int count(Taker& taker, const Arguments& arguments, const std::stop_token& stop) {
  for (int i = 0; i < arguments.times; ++i) {
    const std::unique_ptr<Hold> held = taker.take(arguments.lock, stop);
    if (held == nullptr) {
      return EXIT_FAILURE;
    }
    const Clock::time_point begun = Clock::now();
    const long number = read_number(arguments.file) + 1;
    if (held->valid()) {
      write_number(arguments.file, number);
    }
    const Clock::time_point until = std::min(Clock::now(), held->valid_until());
    say(fmt::format("{} {} from {} to {}", held->valid() ? "counted" : "uncertain", number,
                    begun.time_since_epoch().count(), until.time_since_epoch().count()));
  }
  return EXIT_SUCCESS;
}

int bench(Taker& taker, const Arguments& arguments, const std::stop_token& stop) {
  const std::string lock = "bench of " + arguments.name;
  std::vector<std::chrono::nanoseconds> took;
  if (taker.take(lock, stop) == nullptr) {  // from then on everybody is there
    return EXIT_FAILURE;
  }
  const Clock::time_point begun = Clock::now();
  for (int i = 0; i < arguments.times && !stop.stop_requested(); ++i) {
    const Clock::time_point asked = Clock::now();
    const std::unique_ptr<Hold> held = taker.take(lock, stop);
    took.emplace_back(Clock::now() - asked);
  }
  const std::chrono::duration<double> seconds = Clock::now() - begun;
  std::ranges::sort(took);
  const auto micros = [&took](std::size_t percent) {
    const auto nanos = took[std::min(took.size() * percent / 100, took.size() - 1)];
    return std::chrono::duration<double, std::micro>(nanos).count();
  };
  if (!took.empty()) {
    say(fmt::format("{:.0f} locks/s; to take one: p50 {:.0f} µs, p99 {:.0f} µs",
                    static_cast<double>(took.size()) / seconds.count(), micros(50), micros(99)));
  }
  return EXIT_SUCCESS;
}

// --- the program ---

trunkline::GridOptions grid_options(const Arguments& arguments, bool serves) {
  trunkline::GridOptions options;
  options.name = arguments.name;
  options.secret = arguments.secret;
  if (serves) {
    const std::size_t colon = arguments.name.rfind(':');
    options.listen = arguments.name.substr(0, colon);
    options.port = static_cast<std::uint16_t>(std::stoul(arguments.name.substr(colon + 1)));
  } else {
    options.reverse_dial_after = milliseconds(1);  // nobody can dial a taker
  }
  options.redial_start = milliseconds(50);
  options.redial_max = milliseconds(1000);
  options.ping_interval = milliseconds(std::max(arguments.lease_ms / 4, 100));
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "locks: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

std::vector<Voter> connect(GridNode& node, Service& service, const Arguments& arguments) {
  std::vector<Voter> voters;
  for (const std::string& name : arguments.peers) {
    if (name == arguments.name) {
      voters.push_back(local(service));
      continue;
    }
    const auto peer = node.peer(name);
    if (!peer.has_value()) {
      throw std::runtime_error(trunkline::to_string(peer.error()));
    }
    voters.push_back(remote(*peer));
  }
  for (const std::string& name : arguments.takers) {
    if (const auto peer = node.peer(name); !peer.has_value()) {
      throw std::runtime_error(trunkline::to_string(peer.error()));
    }
  }
  return voters;
}

using Word = int (*)(Taker&, const Arguments&, const std::stop_token&);

int run(const Arguments& arguments, Word word) {
  const Signals signals;
  const bool serves = std::ranges::find(arguments.peers, arguments.name) != arguments.peers.end();
  if (!serves && word == nullptr) {
    throw std::runtime_error("--name is not among --peers, and there is no word: nothing to do");
  }
  Service service{milliseconds(arguments.lease_ms)};
  auto node = GridNode::create(grid_options(arguments, serves));
  if (!node.has_value()) {
    throw std::runtime_error(trunkline::to_string(node.error()));
  }
  if (serves) {
    serve(**node, service);
  }
  Taker taker(
      {.voters = connect(**node, service, arguments), .lease = milliseconds(arguments.lease_ms)});
  if (const auto started = (*node)->start(); !started.has_value()) {
    throw std::runtime_error(trunkline::to_string(started.error()));
  }
  if (serves) {
    say("serving");
    wait_for(signals.stop(), {}, service.grants_from());
    say("granting");
  }
  int status = EXIT_SUCCESS;
  if (word != nullptr) {
    status = word(taker, arguments, signals.stop());
  } else {
    wait_for(signals.stop(), {});
  }
  (*node)->drain(milliseconds(1000));
  return status;
}

}  // namespace
}  // namespace locks

int main(int argc, char** argv) {
  locks::Arguments arguments;
  locks::Word word = nullptr;
  CLI::App app("A lock service on nodes of the grid");
  app.add_option("--name", arguments.name, "This program's name; of a lock node HOST:PORT")
      ->required();
  app.add_option("--peers", arguments.peers, "The lock nodes, the same everywhere")
      ->required()
      ->delimiter(',');
  app.add_option("--takers", arguments.takers, "Names of takers that are no lock nodes")
      ->delimiter(',');
  app.add_option("--lease", arguments.lease_ms, "Of a lock, in ms (10,000); the same everywhere")
      ->check(CLI::Range(50, 3'600'000));
  app.add_option("--secret", arguments.secret, "What all of them know; at least 16 characters")
      ->envname("LOCKS_SECRET");
  CLI::App* hold = app.add_subcommand("hold", "Hold a lock until a signal");
  hold->add_option("LOCK", arguments.lock, "Its name")->required();
  CLI::App* count = app.add_subcommand("count", "Count in a file, under a lock");
  count->add_option("LOCK", arguments.lock, "Its name")->required();
  count->add_option("FILE", arguments.file, "The file with the number")->required();
  CLI::App* bench = app.add_subcommand("bench", "Take and give back a lock");
  for (CLI::App* of : {count, bench}) {
    of->add_option("--times", arguments.times, "How often (1,000)")->check(CLI::PositiveNumber);
  }
  hold->callback([&word] { word = locks::hold; });
  count->callback([&word] { word = locks::count; });
  bench->callback([&word] { word = locks::bench; });
  CLI11_PARSE(app, argc, argv);
  try {
    return locks::run(arguments, word);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "locks: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
