// SPDX-License-Identifier: Apache-2.0
//
// One connection of a client, from the name's resolution to the end of the closing handshake. It
// owns itself by the operations that are under way; its owner lets go with close().
#pragma once

#include <trunkline/error.h>

#include "net/client_loop.h"
#include "net/tls.h"
#include "ws/close_code.h"
#include "ws/deflate.h"
#include "ws/deflate_offer.h"
#include "ws/frame_reader.h"
#include "ws/handshake.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::net {

// Where to connect to.
struct ClientTarget {
  std::string host;  // name or address, without brackets
  std::string port;
  bool is_secure = false;                 // wss
  std::shared_ptr<const TlsContext> tls;  // of wss; the URL does not say it
  ws::ClientHandshake handshake;
  // What handshake.extensions offers; none: no compression.
  std::optional<ws::DeflateParameters> deflate;
  std::optional<boost::asio::ip::address> local_address;
  std::size_t message_bytes_max = 16UL * 1024 * 1024;
};

// Reads ws://host[:port][/path][?query], or wss://. Error: kConfig with what is wrong.
[[nodiscard]] Result<ClientTarget> parse_client_url(std::string_view url);

class ClientConnectionOwner {
 public:
  ClientConnectionOwner() = default;
  ClientConnectionOwner(const ClientConnectionOwner&) = delete;
  ClientConnectionOwner& operator=(const ClientConnectionOwner&) = delete;
  virtual ~ClientConnectionOwner() = default;

  virtual void on_connection_open() = 0;
  // ws::kMessagePadding readable bytes follow.
  virtual void on_connection_message(std::string_view text) = 0;
  // The last call: the Close frame's code (1005 when it had none) or 1006 with what failed.
  virtual void on_connection_closed(ws::CloseCode code, std::string_view reason) = 0;
};

// Thread: loop's thread.
class ClientConnection final : public std::enable_shared_from_this<ClientConnection>,
                               private ws::MessageHandler {
 public:
  // `loop` and `target` must outlive the connection's time with its owner.
  ClientConnection(ClientLoopCore& loop, const ClientTarget& target, ClientConnectionOwner& owner);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;
  ~ClientConnection() override;

  // The owner hears of it later, never from inside.
  void start();
  // Queues a text message; it leaves with flush().
  void send_text(std::string_view text);
  // Errors reach the owner from inside.
  void flush();
  // Lets go of the owner, says Close when the connection stands, and ends in the background within
  // a second.
  void close(ws::CloseCode code, std::string_view reason);

  [[nodiscard]] std::size_t unsent_bytes() const {
    return out_.size() - out_sent_ + (tls_ ? tls_->pending().size() : 0);
  }

 private:
  using tcp = boost::asio::ip::tcp;
  enum class State : std::uint8_t { kConnecting, kHandshake, kOpen, kClosing, kEnded };

  // Needed only until the connection stands.
  struct Opening {
    Opening(ClientLoopCore& loop, const ClientTarget& to) : target(to), resolver(loop.io()) {}

    ClientTarget target;
    tcp::resolver resolver;
    std::vector<tcp::endpoint> endpoints;
    std::size_t next_endpoint = 0;
    std::string nonce;
    std::string received;
    std::string failure = "no address";
  };

  void resolve();
  void try_next_endpoint();
  [[nodiscard]] std::string prepare_socket(const tcp::endpoint& endpoint);
  void begin_handshake();
  void read_handshake(std::string_view bytes);
  // What was agreed on compression.
  [[nodiscard]] Result<std::optional<ws::DeflateParameters>> check_handshake(
      std::string_view head) const;
  void wait_readable();
  void on_readable();
  void received(std::span<char> bytes);
  void received_tls(std::span<const char> bytes);
  void take(std::span<char> bytes);
  void write();
  bool encrypt_next();
  [[nodiscard]] std::string why_write_failed(int error);
  [[nodiscard]] ws::MaskingKey masking_key();
  void append_frame(ws::Opcode opcode, std::string_view payload);
  void lost(ws::CloseCode code, std::string_view reason);
  void leave();
  void end_tls();
  void finish();

  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

  ClientLoopCore& loop_;
  ClientConnectionOwner* owner_;  // null when it has let go
  State state_ = State::kConnecting;
  bool is_blocked_ = false;  // waiting until the socket takes more
  tcp::socket socket_;
  std::unique_ptr<Opening> opening_;
  std::unique_ptr<TlsStream> tls_;  // null: plain
  ws::FrameReader reader_;
  std::unique_ptr<ws::DeflateSender> deflate_;  // when permessage-deflate was agreed
  std::string out_;  // frames; those before out_sent_ have left, or went to be encrypted
  std::size_t out_sent_ = 0;
  std::unique_ptr<boost::asio::steady_timer> closing_timer_;
};

}  // namespace trunkline::net
