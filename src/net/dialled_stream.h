// SPDX-License-Identifier: Apache-2.0
//
// Bytes to and from a host that was named by a URL: resolves, connects, speaks TLS where the URL
// says so. What the bytes mean is the owner's. It owns itself by the operations that are under way;
// the owner lets go with close().
#pragma once

#include "net/tls.h"
#include "net/url.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::net {

class DialledStream;

// Where all streams of a loop read into, one after another: a quiet one holds no buffer.
struct StreamBuffers {
  static constexpr std::size_t kBytes = 16UL * 1024;

  std::vector<char> received = std::vector<char>(kBytes);
  std::vector<char> decrypted = std::vector<char>(kBytes);
};

enum class StreamEnd : std::uint8_t {
  kOrderly,  // the other side said that nothing follows
  kLost      // it did not, or the stream never stood
};

class StreamOwner {
 public:
  StreamOwner() = default;
  StreamOwner(const StreamOwner&) = delete;
  StreamOwner& operator=(const StreamOwner&) = delete;
  virtual ~StreamOwner() = default;

  virtual void on_stream_bytes(DialledStream& stream, std::string_view bytes) = 0;
  // The last call. `why` is for the log.
  virtual void on_stream_end(DialledStream& stream, StreamEnd end, const std::string& why) = 0;
};

// Thread: the loop's. Calls of the owner never come from inside a call of its own.
class DialledStream final : public std::enable_shared_from_this<DialledStream> {
 public:
  // The references must outlive the stream's time with its owner; `tls` is used for https only.
  DialledStream(boost::asio::io_context& io, StreamBuffers& buffers, const Url& url,
                std::shared_ptr<const TlsContext> tls, StreamOwner& owner);
  DialledStream(const DialledStream&) = delete;
  DialledStream& operator=(const DialledStream&) = delete;
  ~DialledStream() = default;

  void start();
  // Sends behind what was sent before, when the stream stands.
  void send(std::string_view bytes);

  // Reads nothing until resume(): the other side's sending comes to a halt.
  void pause() { is_paused_ = true; }

  void resume();
  // Ends it; the owner hears nothing any more.
  void close();

 private:
  using tcp = boost::asio::ip::tcp;
  enum class State : std::uint8_t { kConnecting, kOpen, kEnded };

  void resolve();
  void try_next_endpoint();
  void open();
  void wait_readable();
  void on_readable();
  void received_tls(std::span<const char> bytes);
  void write();
  bool encrypt_next();
  void lose_later(std::string why);
  void lost(StreamEnd end, const std::string& why);

  boost::asio::io_context& io_;
  StreamBuffers& buffers_;
  const Url& url_;
  const std::shared_ptr<const TlsContext> context_;
  StreamOwner* owner_;  // null when it has let go
  State state_ = State::kConnecting;
  bool is_paused_ = false;
  bool is_reading_ = false;  // the loop will say when there is something
  bool is_blocked_ = false;  // the socket takes no more now
  tcp::socket socket_;
  tcp::resolver resolver_;
  std::vector<tcp::endpoint> endpoints_;  // that have not been tried
  std::string failure_ = "no address";
  std::unique_ptr<TlsStream> tls_;  // null: plain
  std::string out_;                 // before out_sent_: has left, or went to be encrypted
  std::size_t out_sent_ = 0;
};

}  // namespace trunkline::net
