// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>

namespace trunkline::net {

// Turns connections away politely: an HTTP answer, and then the client's end before ours. Closing a
// socket with bytes in it that were not read resets the connection, and the reset overtakes the
// answer (RFC 9112, section 9.6); so a request is awaited and thrown away. Few at a time and not
// for long: in a storm most are closed without a word. Thread: the loop's.
class Refusals {
 public:
  // At a time; each is a descriptor and some hundred bytes.
  static constexpr std::size_t kAtOnceMax = 128;
  // From the connection to its end, whatever the client does.
  static constexpr auto kPatience = std::chrono::seconds(2);

  // `on_closed` is called when a descriptor has been closed, never from inside turn_away().
  Refusals(boost::asio::io_context& io, std::function<void()> on_closed)
      : io_(io), on_closed_(std::move(on_closed)) {}

  // Takes over a connected, non-blocking socket and sends it `answer`, a whole HTTP response; or
  // closes it at once when there are too many already.
  void turn_away(int descriptor, std::string answer);

  // Ends all at once.
  void close() { away_.clear(); }

 private:
  struct Away {
    Away(boost::asio::io_context& io, int descriptor, std::string text)
        : socket(io, boost::asio::ip::tcp::v4(), descriptor),
          patience(io),
          answer(std::move(text)) {}

    boost::asio::ip::tcp::socket socket;
    boost::asio::steady_timer patience;
    std::string answer;  // empty when it has been sent
  };

  // Continuations hold an id and look it up: one that has happened is called although what it
  // belonged to has gone meanwhile.
  void wait(std::uint64_t id);
  // False when the connection is at its end.
  static bool exchange(Away& away);
  void end(std::uint64_t id);

  boost::asio::io_context& io_;
  const std::function<void()> on_closed_;
  std::uint64_t last_ = 0;
  std::unordered_map<std::uint64_t, Away> away_;
};

}  // namespace trunkline::net
