// SPDX-License-Identifier: Apache-2.0
//
// One shard's client of one HTTP endpoint (http:// or https://, HTTP/1.1): connections that are
// kept alive, a bound on the requests that are on their way and a bounded line for those beyond, a
// time limit over the whole exchange, and bodies that are taken whole or line by line as they come.
//
//   send() ─┬─ room? ── a kept connection, or a new one ── the answer ── done
//           ├─ line not full? ── waits for room ──┘
//           └─ refused: kLimitExceeded
//
// A kept connection may be closed by the other side at the moment in which it is used again. That
// is seen as an end before the first byte of an answer, and then, only then and only once, the
// request goes out again on a new connection.
#pragma once

#include <trunkline/error.h>

#include "core/time.h"
#include "net/response_reader.h"
#include "net/tls.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace trunkline::net {

struct HttpClientOptions {
  std::string url{};  // http://host[:port][/path][?query], or https://
  // Of https: whom to trust; must be there then.
  std::shared_ptr<const TlsContext> tls{};
  std::size_t requests_max = 64;          // on their way; each has a connection
  std::size_t waiting_max = 256;          // for one of those to end
  std::size_t idle_connections_max = 16;  // kept for later requests
  Duration idle_timeout = std::chrono::seconds(60);
  std::size_t reply_bytes_max = 1024UL * 1024;  // of a body that is taken whole
  std::size_t line_bytes_max = 64UL * 1024;     // of one that is taken line by line
};

struct HttpCallRequest {
  std::string_view method = "POST";
  // Besides Host, Content-Length and Connection. One whose name or value could not stand in a head
  // (line ends, control characters) is left out.
  HttpFields fields{};
  std::string body{};
  Duration timeout{0};  // from send() to the answer's last byte, the wait in line included; 0: none
};

struct HttpReply {
  unsigned status = 0;
  HttpFields fields{};
  std::string body{};
};

// How a call ends. Errors: kTimeout; kLimitExceeded when too many wait already; kMessageTooBig for
// a body or line beyond its limit; kMalformed for what is not HTTP; kUnavailable when there is no
// connection or it was lost. The context is for the log.
using HttpDone = std::move_only_function<void(Result<HttpReply>)>;

enum class HttpFlow : std::uint8_t {
  kMore,
  kPause  // no further line until HttpCall::resume(); nothing more is read then
};

struct HttpLines {
  // A line of a body with status 200, without its end; empty ones are passed over. What follows the
  // last line end counts as a line, too. The text is valid during the call.
  std::move_only_function<HttpFlow(std::string_view line)> on_line;
  // After the last line. With status 200 the reply's body is empty; with another one nothing is a
  // line and the body is there, as far as reply_bytes_max allows.
  HttpDone done;
};

class HttpClientCore;

// A call on its way. Its end ends the call: the connection is closed, nobody is told.
// Thread: the loop's.
class HttpCall {
 public:
  HttpCall() = default;

  HttpCall(std::weak_ptr<HttpClientCore> core, std::uint64_t id)
      : core_(std::move(core)), id_(id) {}

  HttpCall(HttpCall&& other) noexcept : core_(std::move(other.core_)), id_(other.id_) {
    other.core_.reset();
  }

  HttpCall& operator=(HttpCall&& other) noexcept {
    if (this != &other) {
      cancel();
      core_ = std::move(other.core_);
      id_ = other.id_;
      other.core_.reset();
    }
    return *this;
  }

  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  ~HttpCall() { cancel(); }

  // Nothing happens when it has ended already.
  void cancel();
  // Lines go on coming, never from inside.
  void resume();

 private:
  std::weak_ptr<HttpClientCore> core_;
  std::uint64_t id_ = 0;
};

struct HttpClientStats {
  std::size_t in_flight = 0;     // now
  std::size_t waiting = 0;       // now
  std::size_t idle = 0;          // connections now
  std::uint64_t dialled = 0;     // connections
  std::uint64_t sent_again = 0;  // requests that found a kept connection closed
};

// Thread: the loop's. Handlers are never called from inside send() and stream().
class HttpClient {
 public:
  // Errors: kConfig for a URL that can not be used.
  [[nodiscard]] static Result<std::unique_ptr<HttpClient>> make(boost::asio::io_context& io,
                                                                HttpClientOptions options);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  // Ends all calls and connections; nobody is told. Also once the loop has ended; the io_context
  // must still be there.
  ~HttpClient();

  [[nodiscard]] HttpCall send(HttpCallRequest request, HttpDone done);
  [[nodiscard]] HttpCall stream(HttpCallRequest request, HttpLines lines);

  [[nodiscard]] HttpClientStats stats() const;

 private:
  explicit HttpClient(std::shared_ptr<HttpClientCore> core) : core_(std::move(core)) {}

  std::shared_ptr<HttpClientCore> core_;
};

}  // namespace trunkline::net
