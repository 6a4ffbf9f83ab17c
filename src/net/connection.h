// SPDX-License-Identifier: Apache-2.0
//
// One socket: HTTP requests first, then perhaps a WebSocket with a session. It reads into the
// shard's buffer and holds none of its own while idle; it writes only when the shard flushes it.
#pragma once

#include "core/intrusive_list.h"
#include "core/timer_wheel.h"
#include "net/admission.h"
#include "net/ending.h"
#include "net/http.h"
#include "net/tls.h"
#include "outbox/outbox.h"
#include "session/session.h"
#include "ws/deflate.h"
#include "ws/frame_reader.h"
#include "ws/handshake.h"

#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace trunkline::net {

class Shard;
struct FlushHook;
struct DeadHook;
using ConnectionId = std::uint64_t;

// Thread: owning shard.
class Connection final : public session::Link,
                         public ws::MessageHandler,
                         public Timer,
                         public ListHook<FlushHook>,
                         public ListHook<DeadHook> {
 public:
  // With a context the socket speaks TLS.
  Connection(Shard& shard, ConnectionId id, int descriptor, Ticket ticket,
             std::shared_ptr<const TlsContext> tls);
  ~Connection() override;

  void start();
  // The server is going down.
  void shut_down();
  // Closes the socket at once; the object goes at the end of the turn or when its last operation
  // has been told.
  void drop(Ending how);
  // The answer to the request that is being handled.
  void respond(HttpResponse response);
  // The door's answer to the handshake that is being handled.
  void admitted(std::optional<Refusal> refused);

  [[nodiscard]] bool is_websocket() const { return session_ != nullptr; }

  [[nodiscard]] bool can_be_deleted() const { return dropped_ && operations_ == 0; }

  [[nodiscard]] ConnectionId id() const { return id_; }

  // Brings what a flush needs into the cache.
  void prefetch() const {
    static constexpr std::size_t kLineBytes = 64;
    const char* at = reinterpret_cast<const char*>(this);
    const char* end = reinterpret_cast<const char*>(&outbox_) + outbox::Outbox::kHotBytes;
    for (; at < end; at += kLineBytes) {
      __builtin_prefetch(at);
    }
    __builtin_prefetch(&socket_);
  }

  [[nodiscard]] bool is_blocked() const { return waiting_to_write_; }

  // session::Link
  outbox::Outbox& outbox() override { return outbox_; }

  void want_flush() override;
  void close(std::uint16_t code, std::string_view reason) override;

  [[nodiscard]] bool wants_native_pings() const override { return native_pings_; }

  [[nodiscard]] bool takes_compressed_frames() const override {
    return deflate_ && deflate_->takes_shared_frames();
  }

  [[nodiscard]] std::string text_frame(std::string_view message) override;

  // ws::MessageHandler
  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

  // Timer
  void on_timer(TimePoint now) override;

 private:
  friend class Shard;
  struct Http;

  // It was blocked and may write on, in line with others who were.
  void catch_up();
  // Reads and hands on what a TLS peer says.
  void received_tls(std::span<char> bytes);
  void wait_readable();
  void wait_writable();
  void readable();
  void received(std::span<char> bytes);
  void received_http(std::span<char> bytes);
  void handle_request();
  // A handshake: asks the door, goes on in admitted(). (connection_admission.cpp)
  void ask_admission();
  void upgrade();
  void refuse_upgrade(const ws::HandshakeRefusal& refusal);
  void received_frames(std::span<char> bytes);
  // What the shard is to write for this connection now: of the plan, or what TLS made of it. The
  // spans stay until wrote().
  std::span<const std::string_view> gather(outbox::Plan& plan);
  // The socket took so many of those bytes; 0 when there were none.
  void wrote(const outbox::Plan& plan, std::size_t bytes);
  // Called by the shard when all of a batch have been written to.
  void flushed();
  // Everything that will ever be written is out; `is_close_written`: with a Close frame.
  void end_writing(bool is_close_written);
  [[nodiscard]] bool is_all_written() const;
  [[nodiscard]] std::optional<TimePoint> write_deadline() const;
  void arm_deadline();

  // First, and together, what a flush touches: with thousands of connections every line of memory
  // has to be fetched for each publication.
  Shard& shard_;
  struct Tls;
  std::unique_ptr<Tls> tls_;  // none: plain
  bool waiting_to_read_ = false;
  bool waiting_to_write_ = false;
  bool dropped_ = false;
  bool native_pings_ = false;
  bool closing_ = false;             // our Close frame is queued or out
  bool peer_closed_ = false;         // the peer's Close frame, or its end of stream
  bool close_after_flush_ = false;   // HTTP without keep-alive
  std::size_t accounted_bytes_ = 0;  // of the outbox, by the shard
  outbox::Outbox outbox_;
  const Ticket ticket_;  // before the socket: given back when that is closed
  boost::asio::ip::tcp::socket socket_;
  const ConnectionId id_;
  int operations_ = 0;                          // that the loop will still call back for
  std::unique_ptr<Http> http_;                  // until the connection is a WebSocket
  std::optional<ws::FrameReader> reader_;       // from then on
  std::unique_ptr<ws::DeflateSender> deflate_;  // when permessage-deflate was agreed
  std::unique_ptr<session::Session> session_;
  TimePoint deadline_ = TimePoint::max();  // of the HTTP request or the close handshake
};

}  // namespace trunkline::net
