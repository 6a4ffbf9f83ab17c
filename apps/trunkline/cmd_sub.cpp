// SPDX-License-Identifier: Apache-2.0
#include "client_command.h"
#include "commands.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::app {

namespace {

struct SubOptions {
  ConnectionArguments connection;
  std::vector<std::string> channels;
  std::string since;
  std::uint64_t count = 0;  // 0: no end
  bool as_json = false;
};

// OFFSET or EPOCH:OFFSET.
std::optional<Position> parse_position(std::string_view text) {
  Position position;
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    position.epoch = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, position.offset.value);
  return parsed.ec == std::errc{} && parsed.ptr == end ? std::optional(position) : std::nullopt;
}

std::string to_text(const Position& position) {
  return fmt::format("{}:{}", position.epoch, position.offset.value);
}

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// One channel's story. Loop's thread, but for position() after the loop's end.
class Channel {
 public:
  Channel(std::string name, bool as_json)
      : name_(std::move(name)), quoted_(json_text(name_)), as_json_(as_json) {}

  void on_subscribed(const SubscribedContext& context) {
    if (context.recovered) {
      tell(fmt::format("{}: recovered {} missed publications since offset {}", name_,
                       context.recovered_publications,
                       context.asked ? context.asked->offset.value : 0));
    } else if (context.was_recovering) {
      tell(fmt::format("{}: the server no longer holds what follows {}: continuing at {}", name_,
                       context.asked ? to_text(*context.asked) : "the position",
                       context.position ? to_text(*context.position) : "the newest"));
    } else {
      tell(fmt::format("{}: subscribed{}", name_,
                       context.position ? " at " + to_text(*context.position) : ""));
    }
    position_ = context.position;
  }

  void on_publication(const Publication& publication) {
    if (position_.has_value() && publication.offset.value != 0) {
      position_->offset = publication.offset;
    }
    if (as_json_) {
      print_json(publication);
    } else {
      fmt::print("{} {} {}\n", name_, publication.offset.value, publication.data);
    }
    // Whoever reads wants the line now, and not when a block is full.
    std::fflush(stdout);
  }

  void on_gap(const Gap& gap) const {
    tell(fmt::format("{}: too slow: {} publications are missing, offsets {} to {}", name_,
                     gap.to.value + 1 - gap.from.value, gap.from.value, gap.to.value));
  }

  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] const std::optional<Position>& position() const { return position_; }

 private:
  void print_json(const Publication& publication) const {
    std::string line =
        fmt::format(R"({{"channel":{},"offset":{})", quoted_, publication.offset.value);
    if (position_.has_value()) {
      line += fmt::format(R"(,"epoch":{})", json_text(position_->epoch));
    }
    if (publication.publisher.has_value()) {
      line += fmt::format(R"(,"user":{},"client":{})", json_text(publication.publisher->user),
                          json_text(publication.publisher->client));
    }
    if (!publication.tags.empty()) {
      line += fmt::format(R"(,"tags":{})", publication.tags);
    }
    if (publication.time_ms != 0) {
      line += fmt::format(R"(,"time":{})", publication.time_ms);
    }
    fmt::print("{},\"data\":{}}}\n", line, publication.data);
  }

  const std::string name_;
  const std::string quoted_;
  const bool as_json_;
  std::optional<Position> position_;
};

// What ends the command. Loop's thread writes, the main thread reads after the wait.
struct Ending {
  std::atomic<bool> has_failed = false;
  std::uint64_t left = 0;  // publications still wanted; 0: no end
  std::size_t active = 0;  // channels

  void fail() {
    has_failed = true;
    SignalWaiter::finish();
  }

  // Whether one more is wanted.
  bool count_one(bool is_counted) {
    if (!is_counted) {
      return true;
    }
    if (left == 0) {
      return false;
    }
    if (--left == 0) {
      SignalWaiter::finish();
    }
    return true;
  }
};

ClientHandlers client_handlers(Ending& ending) {
  return {.on_connecting =
              [](std::uint32_t code, std::string_view reason) {
                if (code != ConnectingCode::kConnectCalled) {
                  tell(fmt::format("connection lost ({}), reconnecting", reason));
                }
              },
          .on_connected =
              [](std::string_view, std::string_view version) {
                tell(fmt::format("connected (server {})", version));
              },
          .on_disconnected =
              [&ending](std::uint32_t code, std::string_view reason) {
                if (code != DisconnectedCode::kDisconnectCalled) {
                  tell(fmt::format("disconnected: {} ({})", reason, code));
                  ending.fail();
                }
              },
          .on_error = [](const ClientError& error) { tell(to_string(error)); }};
}

SubscriptionHandlers subscription_handlers(Channel& channel, Ending& ending, bool is_counted) {
  return {.on_subscribed =
              [&channel](const SubscribedContext& context) { channel.on_subscribed(context); },
          .on_publication =
              [&channel, &ending, is_counted](const Publication& publication) {
                if (ending.count_one(is_counted)) {
                  channel.on_publication(publication);
                }
              },
          .on_gap = [&channel](const Gap& gap) { channel.on_gap(gap); },
          .on_unsubscribed =
              [&channel, &ending](std::uint32_t code, std::string_view reason) {
                if (code == UnsubscribedCode::kUnsubscribeCalled) {
                  return;
                }
                tell(fmt::format("{}: unsubscribed: {} ({})", channel.name(), reason, code));
                ending.has_failed = true;
                if (--ending.active == 0) {
                  SignalWaiter::finish();
                }
              },
          .on_error =
              [&channel](const ClientError& error) {
                tell(fmt::format("{}: {}", channel.name(), to_string(error)));
              }};
}

void tell_positions(const std::vector<std::unique_ptr<Channel>>& channels) {
  for (const auto& channel : channels) {
    if (const auto& position = channel->position(); position.has_value()) {
      tell(fmt::format("{}: last position {} (continue with --since {})", channel->name(),
                       to_text(*position), to_text(*position)));
    }
  }
}

int sub(const SubOptions& options) {
  SubscriptionOptions subscription_options{.positioned = true, .recoverable = true};
  if (!options.since.empty()) {
    subscription_options.since = parse_position(options.since);
    if (!subscription_options.since.has_value() || options.channels.size() != 1) {
      tell(options.channels.size() == 1 ? "--since takes EPOCH:OFFSET or OFFSET"
                                        : "--since goes with one channel only");
      return kExitUsage;
    }
  }
  SignalWaiter signals;  // before the loop's thread
  Ending ending{.left = options.count, .active = options.channels.size()};
  std::vector<std::unique_ptr<Channel>> channels;
  ClientLoop loop;
  Client client(loop, options.connection.client_options(), client_handlers(ending));
  std::vector<Subscription> subscriptions;
  for (const std::string& name : options.channels) {
    channels.push_back(std::make_unique<Channel>(name, options.as_json));
    subscriptions.push_back(
        client.subscribe(name, subscription_options,
                         subscription_handlers(*channels.back(), ending, options.count > 0)));
  }
  client.connect();
  if (const Result<void> started = loop.start(); !started.has_value()) {
    tell(started.error().context);
    return kExitFailed;
  }
  signals.wait();
  for (Subscription& subscription : subscriptions) {
    subscription.unsubscribe();
  }
  client.disconnect();
  loop.stop();
  tell_positions(channels);
  return ending.has_failed ? kExitFailed : kExitDone;
}

}  // namespace

void add_sub(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<SubOptions>();
  CLI::App* command = app.add_subcommand("sub", "Subscribe to channels and print publications");
  command->add_option("CHANNEL", options->channels, "Channels")->required();
  command->add_option("--since", options->since,
                      "Start behind this position, EPOCH:OFFSET or OFFSET alone (any epoch)");
  command->add_option("--count,-n", options->count, "End after so many publications");
  command->add_flag("--json", options->as_json, "One JSON object a line");
  options->connection.add_to(*command);
  command->footer(
      "Prints `CHANNEL OFFSET DATA` a line; reports go to standard error. Survives a "
      "server's restart and says what it missed. SIGINT unsubscribes, prints the last "
      "position and exits with 0.");
  command->callback([options, &outcome] { outcome.exit_code = sub(*options); });
}

}  // namespace trunkline::app
