// SPDX-License-Identifier: Apache-2.0
//
// Everything that may go into the state machine, and everything that comes out. docs/peers.md has
// the table of what follows from what.
#pragma once

#include <trunkline/error.h>
#include <trunkline/peer_types.h>

#include "core/time.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace trunkline::peers {

// One dial of one peer. Never used again; 0 is none.
struct DialId {
  std::uint64_t value = 0;

  friend auto operator<=>(const DialId&, const DialId&) = default;
};

struct DialIdHash {
  std::size_t operator()(const DialId& id) const noexcept { return id.value; }
};

// --- what the program asks for ---

struct Start {};

struct Stop {};

struct Connect {
  PeerRequest request;
};

struct Disconnect {
  PeerId id;
};

struct Cancel {
  PeerId id;
};

struct Remove {
  PeerId id;
};

// Addresses that somebody told of, for the target and the feelers.
struct Learn {
  std::vector<std::string> addresses;
};

// A host, without port.
struct Penalize {
  std::string host;
  double lasting = 0;
  double decaying = 0;
};

// The host of a peer.
struct PenalizePeer {
  PeerId id;
  double lasting = 0;
  double decaying = 0;
};

struct Ban {
  std::string host;
  std::optional<Duration> duration;  // nothing: the option's
};

struct Forgive {
  std::string host;
};

struct Allow {
  std::string host;
};

struct Protect {
  PeerId id;
  bool on = true;
};

struct SetMerit {
  PeerId id;
  PeerMerit merit;
};

// --- what the world tells ---

// Time has come to next_wakeup(), or nothing else has happened.
struct Wake {};

// The answer to NeedAddress; nothing: there is none now.
struct AddressOffered {
  std::optional<std::string> address;
};

// The answer to Resolve.
struct Resolved {
  DialId dial;
  Result<std::vector<PeerEndpoint>> endpoints;
};

// The answer to it says whose the socket is; an error: nobody's, and it is to be closed.
struct AttemptSucceeded {
  DialId dial;
  std::size_t attempt = 0;
};

struct AttemptFailed {
  DialId dial;
  std::size_t attempt = 0;
  Error error;
};

// A connection has ended by itself. It is named by the dial that made it (0 of an inbound one), so
// that what is told of an earlier connection does not end a later one of the same peer.
struct Closed {
  PeerId id;
  DialId dial;
  std::string reason;
};

// A listener has a socket. The answer is its id, or an error: to be closed.
struct Accepted {
  PeerEndpoint remote;
};

using Event =
    std::variant<Start, Stop, Connect, Disconnect, Cancel, Remove, Learn, Penalize, PenalizePeer,
                 Ban, Forgive, Allow, Protect, SetMerit, Wake, AddressOffered, Resolved,
                 AttemptSucceeded, AttemptFailed, Closed, Accepted>;

// --- what the world has to do, in this order ---

// Ask next_address() and answer with AddressOffered. One is asked for at a time.
struct NeedAddress {};

struct Resolve {
  DialId dial;
  std::string host;
  std::uint16_t port = 0;
};

struct StartAttempt {
  DialId dial;
  std::size_t attempt = 0;
  PeerEndpoint endpoint;
};

// Nobody waits for this dial any more: for its resolver, or for any attempt but the winning one. An
// answer that is under way is not awaited, and a socket that comes is closed.
struct AbortDial {
  DialId dial;
};

// The peer's connection may be given to the program.
struct Surface {
  PeerId id;
  DialId dial;  // that won it; 0 of an inbound one
  PeerKind kind = PeerKind::kOnce;
};

// The program's connection is to be closed (if it is not yet), and the program told.
struct CloseConnection {
  PeerId id;
  PeerKind kind = PeerKind::kOnce;
  std::string reason;
};

struct PauseListeners {};

struct ResumeListeners {};

// For observers.
struct Tell {
  PeerEvent event;
};

// Nothing follows any more.
struct Stopped {};

using Effect = std::variant<NeedAddress, Resolve, StartAttempt, AbortDial, Surface, CloseConnection,
                            PauseListeners, ResumeListeners, Tell, Stopped>;

// Appended to by each step; the caller empties it.
using Effects = std::vector<Effect>;

}  // namespace trunkline::peers
