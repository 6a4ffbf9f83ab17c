// SPDX-License-Identifier: Apache-2.0
#include "client_command.h"
#include "commands.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace trunkline::app {

namespace {

struct PubOptions {
  ConnectionArguments connection;
  std::string channel;
  std::string data = "-";
  std::uint64_t in_flight_max = 1000;
};

constexpr auto kConnectTime = std::chrono::seconds(10);

// JSON as it is, anything else as a JSON string.
std::string as_json(const std::string& text) {
  if (nlohmann::json::accept(text)) {
    return text;
  }
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Counts what becomes of each publication. The loop's thread reports, the reading one waits.
class Outcomes {
 public:
  void on_connected() {
    const std::lock_guard lock(mutex_);
    is_connected_ = true;
    changed_.notify_all();
  }

  void on_ended(std::string reason) {
    const std::lock_guard lock(mutex_);
    if (!is_ended_) {
      is_ended_ = true;
      reason_ = std::move(reason);
    }
    changed_.notify_all();
  }

  void on_error(std::string reason) {
    const std::lock_guard lock(mutex_);
    reason_ = std::move(reason);
  }

  void on_done(const ClientResult<void>& result) {
    const std::lock_guard lock(mutex_);
    ++(result.has_value() ? acknowledged_ : failed_);
    if (!result.has_value() && failure_.empty()) {
      failure_ = to_string(result.error());
    }
    changed_.notify_all();
  }

  // Whether the connection stands, in time.
  bool wait_connected() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kConnectTime, [this] { return is_connected_ || is_ended_; });
    return is_connected_ && !is_ended_;
  }

  // Takes a place for one more; false when the client has ended.
  bool begin(std::uint64_t in_flight_max) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [&] { return is_ended_ || begun_ - acknowledged_ - failed_ < in_flight_max; });
    begun_ += is_ended_ ? 0 : 1;
    return !is_ended_;
  }

  void wait_all() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return acknowledged_ + failed_ == begun_; });
  }

  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }

  [[nodiscard]] std::uint64_t begun() const { return begun_; }

  [[nodiscard]] const std::string& failure() const { return failure_.empty() ? reason_ : failure_; }

  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_connected_ = false;
  bool is_ended_ = false;
  std::string reason_ = "no answer";
  std::string failure_;  // of the first publication that failed
  std::uint64_t begun_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t failed_ = 0;
};

bool publish(Client& client, Outcomes& outcomes, const PubOptions& options,
             const std::string& text) {
  if (!outcomes.begin(options.in_flight_max)) {
    return false;
  }
  client.publish(options.channel, as_json(text),
                 [&outcomes](const ClientResult<void>& result) { outcomes.on_done(result); });
  return true;
}

int pub(const PubOptions& options) {
  Outcomes outcomes;
  ClientLoop loop;
  Client client(
      loop, options.connection.client_options(),
      {.on_connected = [&outcomes](auto, auto) { outcomes.on_connected(); },
       .on_disconnected =
           [&outcomes](std::uint32_t code, std::string_view reason) {
             outcomes.on_ended(fmt::format("{} ({})", reason, code));
           },
       .on_error = [&outcomes](const ClientError& error) { outcomes.on_error(error.context); }});
  if (const Result<void> started = start_without_signals(loop); !started.has_value()) {
    tell(started.error().context);
    return kExitFailed;
  }
  client.connect();
  if (!outcomes.wait_connected()) {
    tell(fmt::format("{}: not connected: {}", options.connection.url, outcomes.reason()));
    return kExitFailed;
  }
  bool goes_on = true;
  if (options.data == "-") {
    let_signals_end_reading();
    std::string line;
    // A line that a signal has cut off is none.
    while (goes_on && std::getline(std::cin, line) && !has_signal_come()) {
      goes_on = publish(client, outcomes, options, line);
    }
  } else {
    goes_on = publish(client, outcomes, options, options.data);
  }
  outcomes.wait_all();
  client.disconnect();
  loop.stop();
  const bool all = goes_on && outcomes.acknowledged() == outcomes.begun();
  if (!all || options.data == "-") {
    tell(fmt::format("{} of {} publications acknowledged", outcomes.acknowledged(),
                     outcomes.begun()));
  }
  if (!all) {
    tell(outcomes.failure());
  }
  if (has_signal_come()) {
    tell("stopped by a signal before the end of the input");
  }
  return all && !has_signal_come() ? kExitDone : kExitFailed;
}

}  // namespace

void add_pub(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<PubOptions>();
  CLI::App* command = app.add_subcommand("pub", "Publish to a channel, as a client");
  command->add_option("CHANNEL", options->channel, "Channel")->required();
  command->add_option("DATA", options->data,
                      "What to publish: JSON, or text, which is sent as a JSON string when it is "
                      "not valid JSON; - reads lines from standard input, each one a publication "
                      "by the same rule (the default)");
  command
      ->add_option("--in-flight", options->in_flight_max,
                   "With -: publications that wait for their acknowledgement at most")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  options->connection.add_to(*command);
  command->footer(
      "Exits with 0 when the server acknowledged everything, with 1 otherwise. A "
      "publication whose acknowledgement was lost may have been published: it is not "
      "sent again.");
  command->callback([options, &outcome] { outcome.exit_code = pub(*options); });
}

}  // namespace trunkline::app
