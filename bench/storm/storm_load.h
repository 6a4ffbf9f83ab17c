// SPDX-License-Identifier: Apache-2.0
//
// Subscribers that all lose their connections at once, and come back at once to where they stood.
#pragma once

#include "load/client_set.h"
#include "measure/clock.h"
#include "measure/histogram.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

struct StormOptions {
  std::uint16_t port = 0;
  std::size_t clients = 0;
  std::size_t channels = 0;  // client i has channel i modulo this
  std::size_t message_bytes = 0;
};

// Errors of all calls: kProtocolError for what came twice, out of order or not as it should,
// kTimeout for what never came.
class StormLoad final : private ClientOwner {
 public:
  explicit StormLoad(const StormOptions& options);

  [[nodiscard]] Result<void> connect();
  // Publishes so many to each channel and waits until every client has them.
  [[nodiscard]] Result<void> publish_live(std::size_t count);
  // Resets all connections.
  void drop();
  // Publishes so many to each channel, for nobody.
  [[nodiscard]] Result<void> publish_missed(std::size_t count);
  // All clients come back at once and recover. Tells for each the time from the first client's
  // connect until it has all that it missed.
  [[nodiscard]] Result<Histogram> come_back();

 private:
  struct Client {
    std::uint64_t next = 1;  // offset that must come
    bool subscribed = true;
  };

  [[nodiscard]] std::size_t channel_of(std::size_t who) const { return who % options_.channels; }

  [[nodiscard]] static std::string name(std::size_t channel) { return std::to_string(channel); }

  [[nodiscard]] Result<void> publish(std::size_t count);
  [[nodiscard]] Result<void> turn_until_complete();
  void take(std::size_t who, const Push& push);
  void on_subscribed(std::size_t who, std::string_view line);
  void broken(std::size_t who, std::string_view what);

  void on_line(std::size_t who, std::string_view line, bool alone) override;
  void on_open(std::size_t who) override;
  void on_lost(std::size_t who, const std::string& why) override;

  const StormOptions options_;
  ClientSet connections_{*this};
  std::vector<Client> clients_;
  std::vector<std::string> epochs_;  // of each channel
  std::uint64_t head_ = 0;           // newest offset, the same in all channels
  std::size_t complete_ = 0;         // clients that have it
  std::uint64_t began_ns_ = 0;       // of coming back
  Histogram times_;
  std::string defect_;
};

}  // namespace trunkline::bench
