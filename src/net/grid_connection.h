// SPDX-License-Identifier: Apache-2.0
//
// One WebSocket of the grid: its socket, its frames, and nothing of what they mean. It owns itself
// by the operations that are under way; the driver lets go with end().
#pragma once

#include <trunkline/peers.h>

#include "core/random.h"
#include "grid/handshake.h"
#include "grid/node_core.h"
#include "net/grid_upgrade.h"
#include "net/grid_wire.h"
#include "ws/frame_reader.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::net {

class GridDriver;

// Thread: the node's.
class GridConnection final : public std::enable_shared_from_this<GridConnection>,
                             private ws::MessageHandler {
 public:
  GridConnection(GridDriver& driver, std::shared_ptr<PeerConnection> peer_connection,
                 grid::Side side, std::string peer);
  ~GridConnection() override;

  // Takes the socket over. Errors: kSystem.
  [[nodiscard]] Result<void> start(std::chrono::milliseconds deadline);
  // Sends what the node has for it, as far as the socket takes it.
  void flush();
  // The driver has no use for it any more: `last` is sent, then a Close frame with the reason, and
  // the socket is closed when the peer has closed it, or after a moment.
  void end(std::string_view last, std::string_view reason);
  // Without a word.
  void abort(std::string_view reason);

  // Ended by the driver, and the peer may not have everything yet.
  [[nodiscard]] bool has_last_words() const { return state_ == State::kEnding; }

  [[nodiscard]] grid::Side side() const { return side_; }

  [[nodiscard]] const std::string& peer() const { return peer_; }

  [[nodiscard]] grid::ConnectionId id() const { return id_; }

  [[nodiscard]] bool is_peer_certified_for(std::string_view host) const {
    return wire_.is_peer_certified_for(host);
  }

 private:
  using tcp = boost::asio::ip::tcp;
  enum class State : std::uint8_t { kUpgrading, kOpen, kEnding, kEnded };

  enum class Sent : std::uint8_t { kAll, kBlocked, kTooEarly, kFailed };

  [[nodiscard]] Result<void> begin_tls();
  void wait_readable();
  void on_readable();
  void received(std::span<char> bytes);
  [[nodiscard]] std::size_t unfinished_bytes(std::string_view bytes) const;
  void read_upgrade(std::string_view bytes);
  void open(std::string rest);
  void take(std::span<char> bytes);
  void write();
  [[nodiscard]] Sent send_out();
  // The next frame of the node's; false when there is none.
  bool fill();
  // A whole frame of this side's role.
  [[nodiscard]] std::string make_frame(ws::Opcode opcode, std::string_view payload);
  void arm_ending();
  void lost(std::string_view why);
  void finish(std::string_view why);

  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

  GridDriver& driver_;
  const std::shared_ptr<PeerConnection> peer_connection_;
  const grid::Side side_;
  const std::string peer_;
  State state_ = State::kUpgrading;
  bool is_blocked_ = false;  // waiting until the socket takes more
  bool is_shut_ = false;     // nothing more will be sent
  tcp::socket socket_;
  GridWire wire_;  // what is sent and received on it
  boost::asio::steady_timer timer_;
  std::unique_ptr<GridUpgrade> upgrade_;  // while upgrading
  ws::FrameReader reader_;
  std::string unread_;         // the beginning of a frame whose rest has not come
  grid::ConnectionId id_ = 0;  // once open, and while the node knows it
  std::string out_;            // one frame of the node's, or a few of the WebSocket's own
  std::size_t out_sent_ = 0;
  bool is_filling_ = false;  // the node is writing into out_
  std::string last_words_;   // … and has ended the connection meanwhile
};

}  // namespace trunkline::net
