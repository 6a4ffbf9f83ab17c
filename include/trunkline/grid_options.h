// SPDX-License-Identifier: Apache-2.0
//
// What a node of the grid is told before it starts, and what it knows of its peers.
// trunkline/grid.h includes it.
#pragma once

#include <trunkline/grid_types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trunkline {

// Encrypts the grid (TLS 1.2 or later), on all nodes or on none. Files in PEM. A node's certificate
// has the host of its name among its subjectAltNames, and if it has an extended key usage, then for
// both roles.
struct GridTlsOptions {
  std::string certificate_file{};  // this node's, then those that lead to a root
  std::string key_file{};
  std::string ca_file{};  // who may have signed the certificates of nodes
  // Who dials this node must show a certificate, too: of a member it must be for the host of its
  // name, of a guest any that the CA has signed. Otherwise only the secret says who it is.
  bool asks_for_certificates = true;

  friend bool operator==(const GridTlsOptions&, const GridTlsOptions&) = default;
};

// Limits and times. What a peer must keep to is told to it when it connects.
struct GridOptions {
  // The address under which the others reach this node, "host:port". The same on all of them.
  std::string name{};
  // The address to listen on; empty: only dials. Port 0: any (port() says which).
  std::string listen{};
  std::uint16_t port = 0;
  // Every node's; at least 16 bytes. Empty: whoever reaches the port may speak, and nothing is
  // proven. It is not sent; it does not encrypt.
  std::string secret{};
  // All empty: not encrypted. A guest may have ca_file alone.
  GridTlsOptions tls{};
  // CRC-32 of every frame; for links that are not encrypted.
  bool checksums = false;
  // It belongs to no grid and only dials: for tools. Its name is nobody's address and no member's.
  // A call of its that waits for a peer fails as soon as the peer could not be reached.
  bool is_guest = false;
  // Guests of this node's at once; they must know the secret, or show a certificate where one is
  // asked for. Where there is neither there are none.
  std::size_t guests_max = 64;
  // Answers calls of `trunkline/peers` with what peers() says, as JSON (docs/grid.md).
  bool serves_statistics = true;
  // How far clocks may be apart; 0: any.
  std::chrono::milliseconds skew_max{300'000};

  std::uint32_t message_bytes_max = 64U * 1024 * 1024;
  // For streams' windows and messages that are being put together, of all peers.
  std::size_t memory_bytes_max = 512UL * 1024 * 1024;
  std::size_t stream_window_bytes = 256UL * 1024;  // at most unread, of one stream; to 1 GiB
  // That wait to be sent to one peer: calls over it are refused here, responses become failures.
  std::size_t unsent_bytes_max = 256UL * 1024 * 1024;
  std::uint32_t calls_max = 16'384;  // of one peer, unanswered
  // Of one peer's calls, running at once; those of cancelled calls and lost connections count until
  // they have ended.
  std::size_t handlers_max = 4096;
  // For handlers that block, of all peers; made when they are needed. What finds none free waits.
  unsigned blocking_threads = 8;
  // The node's thread looks so long for the next event before it sleeps, where events come that
  // soon after each other and nobody else wants the core: waking a core takes longer than a call.
  // 0: it sleeps at once. At most a second.
  std::chrono::microseconds busy_poll{100};

  std::chrono::milliseconds ping_interval{10'000};   // a peer silent for two of them is gone
  std::chrono::milliseconds write_deadline{10'000};  // since the peer took a byte
  std::chrono::milliseconds handshake_deadline{5'000};
  std::chrono::milliseconds reverse_dial_after{10'000};
  // Redials wait from 0 to start · 2^(failures − 1), at most max.
  std::chrono::milliseconds redial_start{500};
  std::chrono::milliseconds redial_max{30'000};
  // A connection that stood so long beyond handshake_deadline was good; others count as failures.
  std::chrono::milliseconds good_after{5'000};

  // Lines for the operator. Called on the node's thread.
  std::function<void(std::string_view)> log = [](std::string_view) {};
  // Told of each call and stream of this node's that has ended: peer, handler, how long, and how
  // (no error: the handler has answered, or ended the stream). On the node's thread. For traces;
  // empty: costs nothing.
  std::function<void(std::string_view peer, std::string_view handler, std::chrono::nanoseconds took,
                     const GridError* error)>
      trace{};
};

// Of one peer, at the moment of asking.
struct GridPeerStats {
  std::string name{};
  bool is_connected = false;
  bool is_dialling = false;   // this node sees to it that there is a connection
  bool is_guest = false;      // a peer as long as it is connected
  bool dialled_here = false;  // this node has dialled the connection
  std::uint64_t connects = 0;
  std::string last_error{};
  std::chrono::nanoseconds round_trip{0};    // 0: not known
  std::chrono::milliseconds clock_ahead{0};  // the peer's
  std::uint64_t bytes_sent = 0;              // of this connection, as the next ones
  std::uint64_t bytes_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t calls_refused = 0;   // of the peer's, before a handler has seen them
  std::size_t calls_open = 0;        // of this node's
  std::size_t handlers_running = 0;  // of the peer's calls
  std::size_t unsent_bytes = 0;
};

}  // namespace trunkline
