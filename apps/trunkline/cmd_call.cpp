// SPDX-License-Identifier: Apache-2.0
#include "client_command.h"
#include "commands.h"
#include "grid_command.h"
#include "line_input.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace trunkline::app {

namespace {

struct CallArguments {
  GridArguments grid;
  std::string peer;
  std::string handler;
  std::string data;
  bool is_stream = false;
  std::chrono::milliseconds timeout{0};
  GridPriority priority = GridPriority::kBySize;
};

const std::map<std::string, GridPriority> kPriorities = {{"by-size", GridPriority::kBySize},
                                                         {"small", GridPriority::kSmall},
                                                         {"stream", GridPriority::kStream},
                                                         {"bulk", GridPriority::kBulk}};

// DATA: text, - or @file.
Result<Bytes> payload_of(const std::string& data) {
  if (data == "-") {
    return Bytes{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  }
  if (!data.starts_with('@')) {
    return data;
  }
  std::ifstream in(data.substr(1), std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) {
    return fail(ErrorCode::kConfig,
                fmt::format("{}: {}", data.substr(1), std::generic_category().message(errno)));
  }
  return bytes;
}

GridCallOptions call_options(const CallArguments& arguments) {
  GridCallOptions options;
  options.timeout = arguments.timeout;
  options.priority = arguments.priority;
  options.wait_ready = true;
  return options;
}

// Whether standard output took it.
bool print(std::string_view bytes) {
  return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() &&
         std::fflush(stdout) == 0;
}

int call_once(const GridPeer& peer, Bytes payload, const CallArguments& arguments) {
  const GridResult<Bytes> answer =
      wait_for(peer.call(arguments.handler, std::move(payload), call_options(arguments)));
  if (!answer.has_value()) {
    tell(describe(arguments.peer, arguments.handler, answer.error()));
    return kExitFailed;
  }
  // A person's prompt begins on a line of its own; a file gets what came and nothing else.
  const bool adds_newline = ::isatty(STDOUT_FILENO) == 1 && !answer->ends_with('\n');
  if (!print(*answer) || (adds_newline && !print("\n"))) {
    tell("the answer could not be written");
    return kExitFailed;
  }
  return kExitDone;
}

// Lines of standard input, until there are no more or the stream is over. The error that is this
// side's own, if it was one.
std::optional<GridError> send_lines(LineInput& input, GridStream& stream) {
  while (std::optional<std::string> line = input.next()) {
    const GridResult<void> sent = wait_for(stream.send(std::move(*line)));
    if (!sent.has_value()) {
      const bool is_own = sent.error().code == GridCode::kTooLarge;
      if (is_own) {
        stream.cancel();
      }
      return is_own ? std::optional(sent.error()) : std::nullopt;
    }
  }
  stream.finish();
  return std::nullopt;
}

int call_stream(const GridPeer& peer, Bytes payload, const CallArguments& arguments) {
  GridResult<GridStream> opened =
      wait_for(peer.open(arguments.handler, std::move(payload), call_options(arguments)));
  if (!opened.has_value()) {
    tell(describe(arguments.peer, arguments.handler, opened.error()));
    return kExitFailed;
  }
  GridStream stream = std::move(*opened);
  LineInput input(STDIN_FILENO);
  std::optional<GridError> failure;
  std::optional<GridError> own_failure;
  std::thread sender([&] { own_failure = send_lines(input, stream); });
  bool is_written = true;
  for (bool goes_on = true; goes_on;) {
    GridResult<std::optional<Bytes>> message = wait_for(stream.receive());
    if (!message.has_value()) {
      failure = std::move(message.error());
      break;
    }
    goes_on = message->has_value();
    if (goes_on && (!print(**message) || !print("\n"))) {
      is_written = false;
      stream.cancel();
      break;
    }
  }
  input.end();
  sender.join();
  if (!is_written) {
    tell("a message could not be written");
    return kExitFailed;
  }
  // Its cancel is what the receiver has seen.
  failure = own_failure.has_value() ? own_failure : failure;
  if (failure.has_value()) {
    tell(describe(arguments.peer, arguments.handler, *failure));
    return kExitFailed;
  }
  return kExitDone;
}

int call(const CallArguments& arguments) {
  if (arguments.is_stream && arguments.data == "-") {
    tell("with --stream, standard input is the stream's messages; DATA cannot be -");
    return kExitUsage;
  }
  Result<Bytes> payload = payload_of(arguments.data);
  if (!payload.has_value()) {
    tell(payload.error().context);
    return kExitUsage;
  }
  Result<std::unique_ptr<GridNode>> node = arguments.grid.start();
  if (!node.has_value()) {
    tell(node.error().context);
    return node.error().code == ErrorCode::kConfig ? kExitUsage : kExitFailed;
  }
  const Result<GridPeer> peer = (*node)->peer(arguments.peer);
  if (!peer.has_value()) {
    tell(peer.error().context);
    return kExitUsage;
  }
  return arguments.is_stream ? call_stream(*peer, std::move(*payload), arguments)
                             : call_once(*peer, std::move(*payload), arguments);
}

}  // namespace

void add_call(CLI::App& app, Outcome& outcome) {
  auto arguments = std::make_shared<CallArguments>();
  CLI::App* command = app.add_subcommand("call", "Call a handler of a node of the grid");
  command->add_option("PEER", arguments->peer, "The node, by its name: host:port")->required();
  command->add_option("NAME", arguments->handler, "The handler")->required();
  command->add_option("DATA", arguments->data,
                      "The request: this text, - for standard input, @FILE for a file (default: "
                      "nothing)");
  command->add_flag("--stream", arguments->is_stream,
                    "Open a stream: lines of standard input are its messages, what comes back is "
                    "printed a message a line; the end of the input finishes this side");
  add_duration(*command, "--timeout", arguments->timeout,
               "How long it may take, such as 500ms, 30s or 2m (default: a minute; of a stream, "
               "any time)");
  command
      ->add_option("--priority", arguments->priority,
                   "Which of the connection's classes it is sent in")
      ->transform(CLI::CheckedTransformer(kPriorities))
      ->type_name("by-size|small|stream|bulk");
  arguments->grid.add_to(*command);
  command->footer(
      "Prints the answer as it is. Exits with 0 when there is one and with 1 otherwise, saying "
      "whose doing it was: the handler's (with its own number), the remote node's, the transport's "
      "or the caller's. A call never runs twice.");
  command->callback([arguments, &outcome] { outcome.exit_code = call(*arguments); });
}

}  // namespace trunkline::app
