// SPDX-License-Identifier: Apache-2.0
#include "client_command.h"
#include "commands.h"
#include "grid_command.h"
#include "grid_table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::app {

namespace {

struct TopArguments {
  GridArguments grid;
  std::vector<std::string> peers;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{5000};
  std::uint64_t count = 0;  // 0: no end
  bool as_json = false;
};

constexpr const char* kHandler = "trunkline/peers";
constexpr const char* kClearScreen = "\x1b[H\x1b[2J";

// SIGINT and SIGTERM, taken as an answer to the question whether to go on. To be made before any
// thread is.
class Stops {
 public:
  Stops() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }

  // Waits for so long; true: one has come.
  [[nodiscard]] bool came_within(std::chrono::milliseconds time) const {
    const timespec spec{time / std::chrono::seconds(1),
                        time % std::chrono::seconds(1) / std::chrono::nanoseconds(1)};
    return sigtimedwait(&signals_, nullptr, &spec) >= 0;
  }

 private:
  sigset_t signals_{};
};

using Answer = GridResult<Bytes>;

std::vector<Answer> ask_all(const std::vector<GridPeer>& peers, const TopArguments& arguments) {
  std::vector<std::future<Answer>> asked;
  asked.reserve(peers.size());
  for (const GridPeer& peer : peers) {
    GridCallOptions options;
    options.timeout = arguments.timeout;
    options.priority = GridPriority::kSmall;
    options.wait_ready = true;
    options.idempotent = true;
    asked.push_back(begin(peer.call(kHandler, Bytes(), std::move(options))));
  }
  std::vector<Answer> answers;
  answers.reserve(asked.size());
  for (std::future<Answer>& each : asked) {
    answers.push_back(each.get());
  }
  return answers;
}

// All nodes' tables, or their JSON. Whether all of them have answered.
bool show(const std::vector<GridPeer>& peers, const TopArguments& arguments, GridTable& table) {
  const std::vector<Answer> answers = ask_all(peers, arguments);
  std::string out;
  bool have_all_answered = true;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].has_value()) {
      have_all_answered = false;
      const std::string why = describe(peers[i].name(), kHandler, answers[i].error());
      if (arguments.as_json) {
        tell(why);
      } else {
        out += why + "\n";
      }
    } else if (arguments.as_json) {
      out += *answers[i] + "\n";
    } else if (const Result<GridSamples> samples = parse_samples(*answers[i]);
               samples.has_value()) {
      out += table.render(*samples);
    } else {
      have_all_answered = false;
      out += fmt::format("{}: {}\n", peers[i].name(), samples.error().context);
    }
    out += !arguments.as_json && i + 1 < answers.size() ? "\n" : "";
  }
  if (!arguments.as_json && ::isatty(STDOUT_FILENO) == 1) {
    out.insert(0, kClearScreen);
  }
  const bool is_written = std::fwrite(out.data(), 1, out.size(), stdout) == out.size();
  return std::fflush(stdout) == 0 && is_written && have_all_answered;
}

int top(const TopArguments& arguments) {
  const Stops stops;
  const Result<std::unique_ptr<GridNode>> node = arguments.grid.start();
  if (!node.has_value()) {
    tell(node.error().context);
    return node.error().code == ErrorCode::kConfig ? kExitUsage : kExitFailed;
  }
  std::vector<GridPeer> peers;
  for (const std::string& name : arguments.peers) {
    const Result<GridPeer> peer = (*node)->peer(name);
    if (!peer.has_value()) {
      tell(peer.error().context);
      return kExitUsage;
    }
    peers.push_back(*peer);
  }
  GridTable table;
  for (std::uint64_t shown = 1;; ++shown) {
    const bool have_all_answered = show(peers, arguments, table);
    if (shown == arguments.count) {
      return have_all_answered ? kExitDone : kExitFailed;
    }
    if (std::ferror(stdout) != 0) {
      tell("standard output takes no more");
      return kExitFailed;
    }
    if (stops.came_within(arguments.interval)) {
      return kExitDone;
    }
  }
}

}  // namespace

void add_top(CLI::App& app, Outcome& outcome) {
  auto arguments = std::make_shared<TopArguments>();
  CLI::App* command = app.add_subcommand("top", "Show the connections of nodes of the grid, live");
  command->add_option("PEER", arguments->peers, "The nodes, by their names: host:port,host:port …")
      ->envname("TRUNKLINE_GRID_PEERS")
      ->delimiter(',')
      ->required();
  add_duration(*command, "--interval,-i", arguments->interval,
               "Between two looks, such as 500ms or 5s (default: 1s)");
  add_duration(*command, "--timeout", arguments->timeout,
               "How long a node may take to answer (default: 5s)");
  command->add_option("--count,-n", arguments->count, "End after so many looks");
  command->add_flag("--json", arguments->as_json, "What each node says, one JSON object a line");
  arguments->grid.add_to(*command);
  command->footer(
      "For each node a table of its connections: the state (connected, guest; dialling and waiting "
      "are not connected), who dialled (VIA: out is the node), the round trip, bytes and messages "
      "a "
      "second, calls of its own that are open, calls of the peer's that it serves, bytes not sent "
      "yet, and how often it has connected again. Without PEER: the environment's "
      "TRUNKLINE_GRID_PEERS. With --count it exits with 1 when a node did not answer the last "
      "time. SIGINT ends it with 0.");
  command->callback([arguments, &outcome] { outcome.exit_code = top(*arguments); });
}

}  // namespace trunkline::app
