// SPDX-License-Identifier: Apache-2.0
//
// The server's end of a connection as src/net/connection.cpp has it: the HTTP handshake, which may
// have to ask the door, then a WebSocket with a session.
#pragma once

#include "core/intrusive_list.h"
#include "core/timer_wheel.h"
#include "outbox/outbox.h"
#include "session/session.h"
#include "sim/pipe.h"
#include "ws/frame_reader.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::sim {

class Shard;
struct FlushHook;
struct DeadHook;

// What opens a connection, as far as the simulation cares.
inline constexpr std::string_view kHandshakeRequest = "GET /connection/websocket HTTP/1.1\r\n\r\n";
inline constexpr std::string_view kHandshakeAnswer =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

// Both directions of a connection; it outlives both ends.
struct Wire {
  Wire(Schedule& schedule, PipeShape up_shape, PipeShape down_shape)
      : up(schedule, up_shape), down(schedule, down_shape) {}

  Pipe up;                 // client to server
  Pipe down;               // server to client
  Shard* shard = nullptr;  // none: it was turned away
  std::uint64_t connection = 0;
  std::uint16_t close_code = 0;  // of the server's Close frame
  bool close_written = false;    // all of it, and the pipe was whole
  bool close_read = false;       // by the client
};

// Thread: the simulation's.
class Connection final : public session::Link,
                         public ws::MessageHandler,
                         public Timer,
                         public ListHook<FlushHook>,
                         public ListHook<DeadHook> {
 public:
  Connection(Shard& shard, std::uint64_t id, Wire& wire);
  ~Connection() override;

  void received(std::string_view bytes);
  // The door's answer to the handshake that is being handled.
  void admitted();
  // The socket takes more.
  void writable();
  void drop();
  // A deadline has passed.
  void give_up();
  // The server is going down.
  void shut_down();

  [[nodiscard]] session::Session* session() { return session_ ? &*session_ : nullptr; }

  [[nodiscard]] std::uint64_t id() const { return id_; }

  [[nodiscard]] bool is_dropped() const { return dropped_; }

  [[nodiscard]] bool is_closing() const { return closing_; }

  // Which situations a stop finds connections in.
  void note_situation();

  outbox::Outbox& outbox() override { return outbox_; }

  void want_flush() override;

  [[nodiscard]] bool takes_compressed_frames() const override { return takes_compressed_; }

  void close(std::uint16_t code, std::string_view reason) override;
  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;
  void on_timer(TimePoint now) override;

 private:
  friend class Shard;

  void handshake();
  void read();
  void begin_close(std::uint16_t code, std::string_view reason);
  void write(const outbox::Plan& plan);
  void flushed();
  void arm_deadline();

  Shard& shard_;
  const std::uint64_t id_;
  Wire& wire_;
  outbox::Outbox outbox_;
  ws::FrameReader reader_;
  // By an even number, so that no draw of the seed depends on it.
  const bool takes_compressed_ = id_ % 2 == 0;
  std::unique_ptr<session::Session> session_;  // none: before the handshake's end
  std::string input_;
  bool asking_ = false;  // the door
  bool waiting_to_write_ = false;
  bool dropped_ = false;
  bool closing_ = false;
  bool peer_closed_ = false;
  std::uint64_t due_at_close_ = 0;  // bytes that were queued before the Close frame
  std::uint64_t written_since_close_ = 0;
  TimePoint deadline_ = TimePoint::max();
  // In the line of those behind: how many stood before it, and the turns since.
  std::size_t ahead_ = 0;
  std::size_t turns_behind_ = 0;
};

}  // namespace trunkline::sim
