// SPDX-License-Identifier: Apache-2.0
//
// A node that calls all others without a pause, in every way there is, and checks what comes back.
//
//   storm_node NAME PEER…
//
// Says "progress" for every few things that went well, "wrong WHAT" for what must not be. SIGUSR1
// ends the load: when nothing is open any more it says
//   calm BEGUN ENDED WELL FAILED OPEN HANDLERS UNSENT
// after it has called each peer once more. SIGTERM ends it.
#include "processes/storm_served.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::processes {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kWorkers = 16;
constexpr auto kTimeout = 1s;
constexpr auto kTurn = 200ms;
constexpr int kProgress = 25;
constexpr auto kCalmPatience = 60s;

// When SIGCONT came last.
std::atomic<Clock::rep> continued_at = 0;

void say(const std::string& line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// --- the load ---

class Load {
 public:
  Load(GridNode& node, std::vector<GridPeer> peers) : node_(node), peers_(std::move(peers)) {}

  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void begin() {
    for (int i = 0; i < kWorkers; ++i) {
      run_task(work(static_cast<unsigned>(i)),
               [this](std::optional<bool>, const std::exception_ptr& thrown) {
                 if (thrown != nullptr) {
                   say("wrong a worker has thrown");
                 }
                 worker_ended();
               });
    }
  }

  // No new load; waits until nothing is open, here and for the peers, and says how it was.
  void end() {
    is_ending_ = true;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_for(lock, kCalmPatience, [this] {
            return ended_workers_ == kWorkers && open_callbacks_ == 0;
          })) {
        say(fmt::format("wrong {} workers and {} calls do not end", kWorkers - ended_workers_,
                        open_callbacks_));
      }
    }
    const Clock::time_point until = Clock::now() + kCalmPatience;
    std::array<std::size_t, 3> left{};
    do {
      left = {};
      for (const GridPeer& peer : peers_) {
        GridCallOptions patient;
        patient.wait_ready = patient.idempotent = true;
        std::promise<bool> answered;
        peer.call("echo", "after", patient, [&answered](GridResult<std::string_view> answer) {
          answered.set_value(answer.has_value() && *answer == "after");
        });
        if (!answered.get_future().get()) {
          say("wrong " + peer.name() + " does not answer after the storm");
        }
      }
      for (const GridPeerStats& peer : node_.peers()) {
        left[0] += peer.calls_open;
        left[1] += peer.handlers_running;
        left[2] += peer.unsent_bytes;
      }
    } while (left != std::array<std::size_t, 3>{} && Clock::now() < until);
    say(fmt::format("calm {} {} {} {} {} {} {}", begun_.load(), ended_.load(), well_.load(),
                    failed_.load(), left[0], left[1], left[2]));
  }

 private:
  Task<bool> work(unsigned seed) {
    std::mt19937 random(std::random_device{}() + seed);
    while (!is_ending_) {
      const GridPeer peer = peers_[random() % peers_.size()];
      ++begun_;
      const Clock::time_point began = Clock::now();
      std::optional<GridError> error;
      if (random() % 7 == 0) {
        call_back(peer);
        continue;
      }
      switch (random() % 6) {
        case 0:
          error = co_await echo_once(peer, random() % 20 == 0 ? 1U << 20U : random() % 65'536);
          break;
        case 1:
          error = co_await sum_once(peer, random() % 10'000);
          break;
        case 2:
          error = co_await numbers_once(peer, static_cast<int>(random() % 200));
          break;
        case 3:
          error = co_await mirror_once(peer, static_cast<int>(random() % 50));
          break;
        case 4:
          error = co_await cancel_once(peer);
          break;
        default:
          error = co_await drop_once(peer);
          break;
      }
      ++ended_;
      judge(error, began);
    }
    co_return true;
  }

  [[nodiscard]] static GridCallOptions options() {
    GridCallOptions options;
    options.timeout = kTimeout;
    options.wait_ready = true;
    return options;
  }

  void judge(const std::optional<GridError>& error, Clock::time_point began) {
    if (!error.has_value()) {
      if (++well_ % kProgress == 0) {
        say("progress");
      }
      return;
    }
    ++failed_;
    // Counted from the beginning of the node's turn: a moment ago, or longer when this process has
    // been stopped in it.
    const bool is_late = Clock::now() + kTurn >= began + kTimeout ||
                         continued_at >= (began - kTurn).time_since_epoch().count();
    const bool is_true = error->code == GridCode::kDisconnected ||
                         error->code == GridCode::kNotConnected ||
                         (error->code == GridCode::kDeadline && is_late);
    if (!is_true) {
      say(fmt::format("wrong {} after {} ms", to_string(*error),
                      (Clock::now() - began) / std::chrono::milliseconds(1)));
    }
  }

  void worker_ended() {
    const std::lock_guard lock(mutex_);
    ++ended_workers_;
    changed_.notify_all();
  }

  // Nobody waits for it; it is counted when it ends.
  void call_back(const GridPeer& peer) {
    const Clock::time_point began = Clock::now();
    {
      const std::lock_guard lock(mutex_);
      ++open_callbacks_;
    }
    peer.call("sum", "\1\2\3", options(),
              [this, began, times = 0](GridResult<std::string_view> answer) mutable {
                if (++times > 1) {
                  say("wrong a call ends twice");
                  return;
                }
                if (answer.has_value() && *answer != "6") {
                  say("wrong sum of three");
                }
                ++ended_;
                judge(answer.has_value() ? std::nullopt : std::optional(answer.error()), began);
                const std::lock_guard lock(mutex_);
                --open_callbacks_;
                changed_.notify_all();
              });
  }

  Task<std::optional<GridError>> echo_once(GridPeer peer, std::size_t bytes) {
    GridCallOptions once = options();
    once.idempotent = bytes % 2 == 0;
    const Bytes sent(bytes, static_cast<char>('a' + bytes % 26));
    const GridResult<Bytes> answer = co_await peer.call("echo", sent, once);
    if (!answer.has_value()) {
      co_return answer.error();
    }
    if (*answer != sent) {
      say(fmt::format("wrong echo of {} bytes has {}", sent.size(), answer->size()));
    }
    co_return std::nullopt;
  }

  Task<std::optional<GridError>> sum_once(GridPeer peer, std::size_t bytes) {
    const GridResult<Bytes> answer = co_await peer.call("sum", Bytes(bytes, '\1'), options());
    if (!answer.has_value()) {
      co_return answer.error();
    }
    if (*answer != fmt::format("{}", bytes)) {
      say("wrong sum " + *answer);
    }
    co_return std::nullopt;
  }

  Task<std::optional<GridError>> numbers_once(GridPeer peer, int count) {
    GridResult<GridStream> stream =
        co_await peer.open("numbers", fmt::format("{}", count), options());
    if (!stream.has_value()) {
      co_return stream.error();
    }
    for (int i = 0;; ++i) {
      const GridResult<std::optional<Bytes>> message = co_await stream->receive();
      if (!message.has_value()) {
        co_return message.error();
      }
      if (!message->has_value()) {
        if (i != count) {
          say(fmt::format("wrong a stream of {} looks complete after {}", count, i));
        }
        co_return std::nullopt;
      }
      if (**message != message_of(i)) {
        say(fmt::format("wrong message {} of a stream is {}", i, (**message).substr(0, 20)));
      }
    }
  }

  Task<std::optional<GridError>> mirror_once(GridPeer peer, int count) {
    GridResult<GridStream> stream = co_await peer.open("mirror", "", options());
    if (!stream.has_value()) {
      co_return stream.error();
    }
    for (int i = 0; i < count; ++i) {
      const GridResult<void> sent = co_await stream->send(message_of(i));
      if (!sent.has_value()) {
        co_return sent.error();
      }
      const GridResult<std::optional<Bytes>> message = co_await stream->receive();
      if (!message.has_value()) {
        co_return message.error();
      }
      if (*message != message_of(i)) {
        say(fmt::format("wrong message {} does not come back", i));
      }
    }
    stream->finish();
    const GridResult<std::optional<Bytes>> end = co_await stream->receive();
    if (!end.has_value()) {
      co_return end.error();
    }
    if (end->has_value()) {
      say("wrong a message behind the end");
    }
    co_return std::nullopt;
  }

  // A call that only its own end ends.
  Task<std::optional<GridError>> cancel_once(GridPeer peer) {
    std::stop_source stop;
    GridCallOptions cancelled = options();
    cancelled.stop = stop.get_token();
    Task<GridResult<Bytes>> call = peer.call("never", "", cancelled);
    // Something that takes a moment first, so that the cancel finds it anywhere.
    std::thread([stop]() mutable { stop.request_stop(); }).detach();
    const GridResult<Bytes> answer = co_await std::move(call);
    if (answer.has_value()) {
      say("wrong an answer to what is never answered");
      co_return std::nullopt;
    }
    co_return answer.error().code == GridCode::kCancelled
        ? std::nullopt
        : std::optional<GridError>(answer.error());
  }

  // A stream that is let go in the middle.
  Task<std::optional<GridError>> drop_once(GridPeer peer) {
    GridResult<GridStream> stream = co_await peer.open("numbers", "1000", options());
    if (!stream.has_value()) {
      co_return stream.error();
    }
    const GridResult<std::optional<Bytes>> message = co_await stream->receive();
    if (!message.has_value()) {
      co_return message.error();
    }
    if (*message != message_of(0)) {
      say("wrong first message");
    }
    co_return std::nullopt;
  }

  GridNode& node_;
  const std::vector<GridPeer> peers_;
  std::atomic<bool> is_ending_ = false;
  std::atomic<std::uint64_t> begun_ = 0;
  std::atomic<std::uint64_t> ended_ = 0;
  std::atomic<std::uint64_t> well_ = 0;
  std::atomic<std::uint64_t> failed_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int ended_workers_ = 0;
  int open_callbacks_ = 0;
};

int run(const std::string& name, const std::vector<std::string>& others) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGCONT, [](int) { continued_at = Clock::now().time_since_epoch().count(); });

  GridOptions options;
  options.name = name;
  options.listen = "127.0.0.1";
  options.port = static_cast<std::uint16_t>(std::stoul(name.substr(name.rfind(':') + 1)));
  options.secret = "a secret for the storm";
  options.ping_interval = 500ms;
  options.write_deadline = 2s;
  options.redial_start = 10ms;
  options.redial_max = 200ms;
  options.reverse_dial_after = 200ms;
  Stopper stopper;
  auto node = GridNode::create(options);
  if (!node.has_value()) {
    say("wrong " + to_string(node.error()));
    return EXIT_FAILURE;
  }
  serve(**node, stopper);
  std::vector<GridPeer> peers;
  for (const std::string& other : others) {
    peers.push_back((*node)->peer(other).value());
  }
  if (const Result<void> started = (*node)->start(); !started.has_value()) {
    say("wrong " + to_string(started.error()));
    return EXIT_FAILURE;
  }
  Load load(**node, std::move(peers));
  load.begin();
  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGUSR1) {
    load.end();
  }
  (*node)->stop();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace trunkline::processes

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 2) {
    return EXIT_FAILURE;
  }
  return trunkline::processes::run(arguments[0], {arguments.begin() + 1, arguments.end()});
}
