// SPDX-License-Identifier: Apache-2.0
//
// What is behind HttpClient: the calls and the connections of one endpoint.
#pragma once

#include "net/dialled_stream.h"
#include "net/http_client.h"
#include "net/response_reader.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace trunkline::net {

// Handlers are called last: they may end calls, begin others, and end the client.
class HttpClientCore final : public std::enable_shared_from_this<HttpClientCore>,
                             public StreamOwner {
 public:
  HttpClientCore(boost::asio::io_context& io, HttpClientOptions options, Url url);
  HttpClientCore(const HttpClientCore&) = delete;
  HttpClientCore& operator=(const HttpClientCore&) = delete;
  ~HttpClientCore() override;

  std::uint64_t begin(HttpCallRequest request, HttpDone done,
                      std::move_only_function<HttpFlow(std::string_view)> on_line);
  void cancel(std::uint64_t id);
  void resume(std::uint64_t id);
  // The client is going.
  void end();

  [[nodiscard]] HttpClientStats stats() const;

  // StreamOwner
  void on_stream_bytes(DialledStream& stream, std::string_view bytes) override;
  void on_stream_end(DialledStream& stream, StreamEnd end, const std::string& why) override;

 private:
  using Stream = std::shared_ptr<DialledStream>;

  struct Call {
    explicit Call(boost::asio::io_context& io) : timer(io) {}

    std::string head_and_body;
    HttpDone done;
    std::move_only_function<HttpFlow(std::string_view)> on_line;
    bool takes_lines = false;  // else the body is taken whole
    boost::asio::steady_timer timer;
    Stream stream;  // null: it waits in line
    ResponseReader reader;
    std::string body;  // or what of it has not been given as lines
    bool is_paused = false;
    bool is_giving = false;   // inside of on_line
    bool is_kept = false;     // the stream had carried others before
    bool has_answer = false;  // its first byte has come
  };

  struct Idle {
    Stream stream;
    std::chrono::steady_clock::time_point since;
  };

  [[nodiscard]] std::string make_request(const HttpCallRequest& request) const;
  void arm_timeout(std::uint64_t id, Duration timeout);
  void fail_later(std::uint64_t id, Error error);
  void start(std::uint64_t id, Call& call);
  void dial(std::uint64_t id, Call& call);
  void start_waiting();

  // The error that the call's body is by now.
  [[nodiscard]] std::optional<Error> check_size(const Call& call) const;
  // Goes on with what has been received.
  void advance(std::uint64_t id);
  // Gives lines. False: not all of them, or the call has ended.
  bool give_lines(std::uint64_t id);
  // Hands on one. False: the call has ended meanwhile.
  bool give_line(std::uint64_t id, std::string line);
  void finish(std::uint64_t id, Result<HttpReply> result);
  // Takes the call out; its connection is kept or closed.
  [[nodiscard]] std::unique_ptr<Call> take_out(std::uint64_t id, bool keep_connection);
  void drop_idle(const DialledStream& stream);
  void arm_idle();

  boost::asio::io_context& io_;
  const HttpClientOptions options_;
  const Url url_;
  StreamBuffers buffers_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Call>> calls_;
  std::unordered_map<const DialledStream*, std::uint64_t> users_;  // of streams: the call
  std::deque<std::uint64_t> waiting_;
  std::vector<Idle> idle_;  // the one that was used last is at the end
  boost::asio::steady_timer idle_timer_;
  bool is_idle_timer_armed_ = false;
  bool is_ended_ = false;
  std::uint64_t dialled_ = 0;
  std::uint64_t sent_again_ = 0;
};

}  // namespace trunkline::net
