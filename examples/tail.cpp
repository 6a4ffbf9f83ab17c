// SPDX-License-Identifier: Apache-2.0
//
// Files that grow on many nodes, copied to one as they grow.
//
//   tail --name HOST:PORT --file FILE --collector NAME     a source
//   tail --name NAME --from A,B,C --to FOLDER              the collector
//
// The collector keeps a copy of each source's file in FOLDER, under the source's name. It opens a
// stream to each with the place where its copy stands, and writes what comes. Whatever is lost,
// killed or started again on either side, the copy goes on where it stands: no byte is missing and
// none is there twice. A file that is rotated is followed: the copy has the old one to its end,
// then the new one. What a file loses by being emptied cannot be had; the collector says so.
//
// A collector that is slow holds nothing up but itself: a source reads on only when what it has
// read was taken, so neither side's memory grows.
//
// The collector says a line for each thing that happens, and for how far it is:
//
//   have SOURCE BYTES · begins SOURCE BYTES · gap SOURCE BYTES · lost SOURCE WHY
//
//   tail/follower.h   reading a file that others write, rename and empty
//   tail/copy.h       what makes it exact
//   tail/worker.h     coroutines and files: what blocks does so on a thread of its own
#include <trunkline/grid.h>

#include "tail/copy.h"
#include "tail/follower.h"
#include "tail/worker.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace tail {
namespace {

using std::chrono::milliseconds;
using trunkline::Bytes;
using trunkline::GridError;
using trunkline::GridNode;
using trunkline::GridPeer;
using trunkline::GridRequest;
using trunkline::GridResult;
using trunkline::GridStream;
using trunkline::Task;

constexpr milliseconds kLookAgain{50};
constexpr milliseconds kOpenAgain{100};

struct Arguments {
  std::string name;
  std::string secret = "change me for real";
  std::string file;
  std::string collector;
  std::vector<std::string> from;
  std::string to;
  std::uint64_t rate = 0;
};

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// --- a source ---

Task<GridResult<void>> follow(Worker* worker, std::filesystem::path file, GridRequest request,
                              GridStream stream) {
  Position from;
  if (!trunkline::GridCodec<Position>::unpack(request.payload, from)) {
    co_return trunkline::grid_error(0, "this is no position");
  }
  Follower follower(std::move(file), from);
  while (!request.stop.stop_requested()) {
    co_await worker->here();  // send() has gone on on the node's thread
    std::optional<Piece> piece = follower.next(Worker::Clock::now());
    if (!piece.has_value()) {
      co_await worker->after(kLookAgain);
      continue;
    }
    Bytes message;
    trunkline::GridCodec<Piece>::pack(*piece, message);
    const GridResult<void> sent = co_await stream.send(std::move(message));
    if (!sent.has_value()) {
      co_return std::unexpected(sent.error());
    }
  }
  co_return GridResult<void>{};
}

void serve(GridNode& node, Worker& worker, const std::string& file) {
  node.handle_stream(kHandler, [&worker, path = std::filesystem::absolute(file)](
                                   GridRequest request, GridStream stream) {
    return follow(&worker, path, std::move(request), std::move(stream));
  });
}

// --- the collector ---

class Collector {
 public:
  Collector(Worker& worker, const Arguments& arguments) : worker_(worker), arguments_(arguments) {
    for (const std::string& source : arguments.from) {
      copies_.push_back(std::make_unique<Copy>(arguments.to, source));
    }
  }

  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Begins; goes on until stop().
  void start(GridNode& node) {
    for (const std::unique_ptr<Copy>& copy : copies_) {
      const auto peer = node.peer(copy->source());
      if (!peer.has_value()) {
        throw std::runtime_error(trunkline::to_string(peer.error()));
      }
      trunkline::run_task(collect(*peer, copy.get()),
                          [](std::optional<bool>, const std::exception_ptr& thrown) {
                            if (thrown != nullptr) {
                              give_up(thrown);
                            }
                          });
    }
  }

  void stop() { stop_.request_stop(); }

 private:
  // The disk does not do: nothing is right any more that is said from here.
  static void give_up(const std::exception_ptr& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "tail: %s\n", error.what());
    }
    std::_Exit(EXIT_FAILURE);
  }

  Task<bool> collect(GridPeer peer, Copy* copy) {
    while (!stop_.stop_requested()) {
      const std::string why = co_await collect_once(peer, copy);
      say(fmt::format("lost {} {}", copy->source(), why));
      co_await worker_.after(kOpenAgain);
    }
    co_return true;
  }

  // Until the stream ends; gives why.
  Task<std::string> collect_once(GridPeer peer, Copy* copy) {
    co_await worker_.here();
    Bytes position;
    trunkline::GridCodec<Position>::pack(copy->position(), position);
    trunkline::GridCallOptions options;
    options.wait_ready = true;
    options.stop = stop_.get_token();
    GridResult<GridStream> stream = co_await peer.open(kHandler, std::move(position), options);
    if (!stream.has_value()) {
      co_return to_string(stream.error());
    }
    while (true) {
      const GridResult<std::optional<Bytes>> message = co_await stream->receive();
      if (!message.has_value()) {
        co_return to_string(message.error());
      }
      if (!message->has_value()) {
        co_return "the source has ended";
      }
      co_await worker_.here();
      Piece piece;
      if (!trunkline::GridCodec<Piece>::unpack(**message, piece) || !copy->take(piece)) {
        co_return "the source has said what does not come next";
      }
      tell(piece, *copy);
      if (arguments_.rate > 0) {
        co_await worker_.after(milliseconds(1000 * piece.data.size() / arguments_.rate));
      }
    }
  }

  static void tell(const Piece& piece, const Copy& copy) {
    if (piece.kind != PieceKind::kNext) {
      say(fmt::format("{} {} {}", piece.kind == PieceKind::kGap ? "gap" : "begins", copy.source(),
                      copy.size() - piece.data.size()));
    }
    say(fmt::format("have {} {}", copy.source(), copy.size()));
  }

  Worker& worker_;
  const Arguments& arguments_;
  std::stop_source stop_;
  std::vector<std::unique_ptr<Copy>> copies_;
};

// --- the program ---

trunkline::GridOptions grid_options(const Arguments& arguments) {
  trunkline::GridOptions options;
  options.name = arguments.name;
  options.secret = arguments.secret;
  if (!arguments.file.empty()) {
    const std::size_t colon = arguments.name.rfind(':');
    options.listen = arguments.name.substr(0, colon);
    options.port = static_cast<std::uint16_t>(std::stoul(arguments.name.substr(colon + 1)));
  } else {
    options.reverse_dial_after = milliseconds(1);  // nobody can dial the collector
  }
  options.redial_start = milliseconds(50);
  options.redial_max = milliseconds(1000);
  options.log = [](std::string_view line) {
    std::fprintf(stderr, "tail: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

int run(const Arguments& arguments) {
  // Blocked before any thread exists: the signals are this thread's to wait for.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  if (arguments.file.empty() == arguments.from.empty()) {
    throw std::runtime_error("either --file, of a source, or --from, of the collector");
  }
  Worker worker;
  std::optional<Collector> collector;
  auto node = GridNode::create(grid_options(arguments));
  if (!node.has_value()) {
    throw std::runtime_error(trunkline::to_string(node.error()));
  }
  if (!arguments.file.empty()) {
    serve(**node, worker, arguments.file);
    if (const auto peer = (*node)->peer(arguments.collector); !peer.has_value()) {
      throw std::runtime_error(trunkline::to_string(peer.error()));
    }
  } else {
    collector.emplace(worker, arguments);
    collector->start(**node);
  }
  if (const auto started = (*node)->start(); !started.has_value()) {
    throw std::runtime_error(trunkline::to_string(started.error()));
  }
  say("running");
  int received = 0;
  sigwait(&signals, &received);
  if (collector.has_value()) {
    collector->stop();
  }
  (*node)->stop();  // whoever waits for the node goes on, and ends
  worker.stop();    // whoever waits here, too
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace tail

int main(int argc, char** argv) {
  tail::Arguments arguments;
  CLI::App app("Copies files that grow on many nodes to one");
  app.add_option("--name", arguments.name, "This program's name; of a source HOST:PORT")
      ->required();
  app.add_option("--file", arguments.file, "Source: the file");
  app.add_option("--collector", arguments.collector, "Source: the collector's name")
      ->needs("--file");
  app.add_option("--from", arguments.from, "Collector: names of the sources")->delimiter(',');
  app.add_option("--to", arguments.to, "Collector: the folder for the copies")
      ->check(CLI::ExistingDirectory);
  app.add_option("--rate", arguments.rate, "Collector: at most so many bytes a second of a source");
  app.add_option("--secret", arguments.secret, "What all of them know; at least 16 characters")
      ->envname("TAIL_SECRET");
  CLI11_PARSE(app, argc, argv);
  try {
    return tail::run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tail: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
