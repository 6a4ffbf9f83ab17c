// SPDX-License-Identifier: Apache-2.0
//
// Ping-pong over many WebSockets: each connection has one request on its way, and sends the next
// when the reply is there, byte for byte the one that is expected.
#pragma once

#include <trunkline/error.h>

#include "measure/clock.h"
#include "measure/histogram.h"
#include "net/sender.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

// A request and its reply, as payloads of text messages. Both hold the nine digits of kNumber once,
// which the load replaces by the number of the round trip.
struct Exchange {
  static constexpr std::string_view kNumber = "100000000";

  std::string hello;  // a first request, whose reply is not counted; empty: none
  std::string request;
  std::string reply;
};

struct EchoResult {
  std::uint64_t round_trips = 0;
  double seconds = 0;
  Histogram latency;
};

class EchoLoad {
 public:
  EchoLoad(std::uint16_t port, Exchange exchange);
  EchoLoad(const EchoLoad&) = delete;
  EchoLoad& operator=(const EchoLoad&) = delete;
  ~EchoLoad();

  [[nodiscard]] Result<void> connect(std::size_t connections);
  // Goes on for so long and returns with the requests on their way. Errors: kProtocolError for a
  // wrong reply or a lost connection.
  [[nodiscard]] Result<EchoResult> run(std::chrono::duration<double> time);

 private:
  struct Client {
    int fd = -1;
    std::uint64_t number = 0;  // of round trips
    std::size_t received = 0;  // bytes of the reply
    std::uint64_t sent_ns = 0;
    std::string request;  // the frames, with this number
    std::string reply;
    std::string_view span;  // of the request, for the sender
  };

  [[nodiscard]] Result<void> greet(int fd) const;
  void begin(Client& client);
  void on_readable(Client& client);
  void flush();

  const std::uint16_t port_;
  const Exchange exchange_;
  int poll_ = -1;
  std::vector<Client> clients_;
  std::vector<Client*> to_send_;
  // All of a turn in one submission, so that the load costs less than its subject.
  std::unique_ptr<net::Sender> sender_;
  std::vector<net::Send> sends_;
  std::vector<char> buffer_;
  EchoResult result_;
  std::string defect_;
};

}  // namespace trunkline::bench
