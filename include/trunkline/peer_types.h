// SPDX-License-Identifier: Apache-2.0
//
// The words of the connection manager (<trunkline/peers.h>): what it is asked for, what it is told
// to keep to, and what it tells. Values only.
//
// An *address* is text: "192.0.2.1:8000", "[2001:db8::1]:8000" or "host.example:8000". Its *host*
// is the part before the port; bans are about hosts. Its *group* is the network that it is likely
// to share with others: the first 16 bits of an IPv4 address, the first 32 of an IPv6 address, the
// host of a name until it is connected, or the label that a request gives.
//
// Thread: values; any.
#pragma once

#include <trunkline/error.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline {

// Where a socket connects to.
struct PeerEndpoint {
  std::array<std::uint8_t, 16> bytes{};  // in network order; IPv4: the first four
  bool is_v6 = false;
  std::uint16_t port = 0;

  friend bool operator==(const PeerEndpoint&, const PeerEndpoint&) = default;
};

// "192.0.2.1:8000" or "[2001:db8::1]:8000". Thread: any.
[[nodiscard]] std::string to_string(const PeerEndpoint& endpoint);
// Reads those forms. Errors: kInvalidArgument, also for a name. Thread: any.
[[nodiscard]] Result<PeerEndpoint> parse_endpoint(std::string_view text);

// One request, or one accepted connection. Never used again by the same manager; 0 is nobody.
struct PeerId {
  std::uint64_t value = 0;

  friend auto operator<=>(const PeerId&, const PeerId&) = default;
};

enum class PeerState : std::uint8_t {
  kPending,       // waits for its turn to be dialled, or is being dialled
  kConnected,     // its connection stands
  kDisconnected,  // its connection has ended; a permanent one waits for its next dial
  kFailing,       // its last dial failed; a permanent one waits for its next dial
  kCancelled,     // ended by its owner before it was connected
};

enum class PeerKind : std::uint8_t {
  kPermanent,  // connect() with permanent: dialled again for ever
  kOnce,       // connect() without: ends when its dial fails or its connection ends
  kAutomatic,  // one of the target's, from next_address() or the address book
  kFeeler,     // tests an untried address and closes; never given to the program
  kInbound,    // accepted by a listener
};

enum class BreakerState : std::uint8_t {
  kClosed,    // dials go through
  kOpen,      // failed too often in a row: no dial for a while
  kHalfOpen,  // one probe may find out
};

// Lower-case names, for logs and metrics. Thread: any.
[[nodiscard]] std::string_view name(PeerState state);
[[nodiscard]] std::string_view name(PeerKind kind);
[[nodiscard]] std::string_view name(BreakerState state);

struct PeerRequest {
  std::string address{};
  // Dialled again for ever, until remove() or cancel().
  bool permanent = false;
  // May share its address with other requests. Otherwise connect() refuses the second one.
  bool allow_duplicate = false;
  // Instead of the address's network: a rack, a zone. Empty: the network.
  std::string group{};
};

// What a program found a connection to be worth. The last ones given count.
struct PeerMerit {
  std::uint64_t useful_bytes = 0;           // got from it, so far
  std::chrono::microseconds round_trip{0};  // 0: not known
  std::int32_t value = 0;                   // the program's own; higher stays longer
};

// Limits and times. 0 means "no limit" or "never" where a line says so.
struct PeerOptions {
  // --- outbound ---
  // Automatic connections that are kept, pending ones included. What connect() asks for is beside
  // it.
  std::size_t target_outbound = 8;
  std::size_t dials_in_flight_max = 8;
  // Resolving and all attempts of one dial together.
  std::chrono::milliseconds dial_timeout{30'000};
  // Between two attempts to reach one name by its several addresses (RFC 8305, section 5).
  std::chrono::milliseconds attempt_interval{250};
  std::size_t attempts_per_dial_max = 16;

  // A delay is drawn evenly from 0 to start · 2^(failures − 1), at most max: full jitter, so that
  // those who failed together do not come back together.
  std::chrono::milliseconds retry_start{5'000};
  std::chrono::milliseconds retry_max{300'000};
  // A connection that stood so long was good: its failures are forgotten. Not at the connect: a
  // peer that accepts and drops would be dialled every few seconds for ever.
  std::chrono::milliseconds good_after{30'000};

  // Failures in a row, over all addresses, from which on dials are spaced and go one at a time. The
  // spacing starts at retry_start and doubles with every so many failures more, up to its maximum;
  // after the first success the number in flight doubles with each further one. 0: never.
  std::uint32_t slow_after_failures = 25;
  std::chrono::milliseconds slow_spacing_max{60'000};
  // The same among the addresses of one group. 0: never.
  std::uint32_t slow_group_after_failures = 10;

  // The circuit breaker of an address: after so many failures in a row it opens for a time that
  // doubles with each failed probe. 0: never.
  std::uint32_t breaker_failures = 5;
  std::chrono::milliseconds breaker_open{30'000};
  std::chrono::milliseconds breaker_open_max{300'000};

  // How many outbound connections and dials, of all kinds but feelers, one group may have before
  // the target avoids it. 0: no limit. Loopback is exempt.
  std::size_t outbound_per_group = 1;
  // Addresses of next_address() that may be unfit in a row before the manager waits retry_start.
  std::uint32_t addresses_per_round_max = 100;
  // Between two feelers. 0: none.
  std::chrono::milliseconds feeler_interval{120'000};

  // --- inbound ---
  std::size_t inbound_max = 117;       // 0: no limit
  std::size_t inbound_per_group = 16;  // 0: no limit. Loopback is exempt.
  // At inbound_max: whether one with little merit makes room. Otherwise, and when there is none,
  // the listeners pause until a place is free.
  bool evict_inbound = true;
  // How long they pause at most while eviction is on: merits change.
  std::chrono::milliseconds inbound_pause{5'000};

  // --- both ---
  // Above `high` connections, those with least value are closed until `low` are left. Permanent,
  // automatic and protected ones stay, and so do those younger than the grace period; so there may
  // be more than `high`. 0: never.
  std::size_t high_water = 0;
  std::size_t low_water = 0;
  std::chrono::milliseconds grace_period{60'000};
  std::chrono::milliseconds trim_interval{10'000};

  // Penalties of a host: a lasting part, and one that halves. At `discourage` it is avoided and
  // evicted first, at `ban` its connections are closed and none is made for ban_duration.
  double discourage_score = 50;
  double ban_score = 100;
  std::chrono::milliseconds score_half_life{60'000};
  std::chrono::milliseconds score_forgotten_after{1'800'000};
  std::chrono::milliseconds ban_duration{86'400'000};

  // Prefixes that make a group.
  unsigned group_prefix_v4 = 16;
  unsigned group_prefix_v6 = 32;

  // Sizes of tables. Beyond requests_max connect() is refused; the others forget what is worth
  // least.
  std::size_t requests_max = 131'072;
  std::size_t book_addresses_max = 10'000;
  std::size_t scores_max = 10'000;
};

enum class PeerEventKind : std::uint8_t {
  kAdded,           // a request, feeler or accepted connection exists now, in state `to`
  kState,           // it went from `from` to `to`
  kInboundRefused,  // `address` was turned away; the text says why
  kListenersPaused,
  kListenersResumed,
  kEvicted,      // closed to make room for another inbound connection
  kTrimmed,      // closed by the high watermark
  kDiscouraged,  // `address` is a host
  kBanned,       // `address` is a host; its connections are closed
  kBanEnded,
  kBreaker,     // the circuit breaker of `address` went to `breaker`
  kSlowedDown,  // failures in a row: dials are spaced from now on
  kSpedUp,      // no longer
};

[[nodiscard]] std::string_view name(PeerEventKind kind);

// Something that happened. Events of one peer come in the order in which they happened.
struct PeerEvent {
  PeerEventKind kind = PeerEventKind::kState;
  PeerId id{};
  PeerKind peer = PeerKind::kOnce;
  PeerState from = PeerState::kPending;
  PeerState to = PeerState::kPending;
  BreakerState breaker = BreakerState::kClosed;
  std::string address{};
  std::string text{};  // why, for operators
  // kState to kFailing or kDisconnected: whether it is dialled again, and after how long; not so
  // means that the request has ended and is forgotten.
  bool will_retry = false;
  std::chrono::milliseconds retry_in{0};
};

// Of one peer, at the moment of asking.
struct PeerInfo {
  PeerId id{};
  PeerKind kind = PeerKind::kOnce;
  PeerState state = PeerState::kPending;
  std::string address{};  // as it was asked for; of an inbound one, the remote end
  std::string remote{};   // "address:port" that it is connected to; empty while it is not
  std::string last_error{};
  std::uint32_t failures = 0;  // in a row
  std::uint64_t dials = 0;
  bool is_dialling = false;
  bool is_protected = false;
  BreakerState breaker = BreakerState::kClosed;
  std::chrono::milliseconds in_state{0};
  std::chrono::milliseconds retry_in{0};  // until it may be dialled; 0: not waiting
  PeerMerit merit{};
};

// How many there are now.
struct PeerCounts {
  std::size_t requests = 0;  // of all kinds but inbound
  std::size_t pending = 0;
  std::size_t connected = 0;  // inbound included
  std::size_t disconnected = 0;
  std::size_t failing = 0;
  std::size_t automatic = 0;  // pending and connected
  std::size_t automatic_connected = 0;
  std::size_t permanent = 0;
  std::size_t inbound = 0;
  std::size_t dials_in_flight = 0;
  std::size_t banned_hosts = 0;
  std::size_t known_addresses = 0;
  bool listeners_paused = false;
  bool slowed_down = false;
};

// How often something has happened.
struct PeerMetrics {
  std::uint64_t dials = 0;
  std::uint64_t attempts = 0;  // one dial of a name may make several
  std::uint64_t dials_succeeded = 0;
  std::uint64_t dials_failed = 0;
  std::uint64_t dials_timed_out = 0;  // also counted as failed
  std::uint64_t dials_cancelled = 0;
  std::uint64_t late_successes = 0;  // closed, since nobody wanted them any more
  std::uint64_t disconnects = 0;
  std::uint64_t retries = 0;
  std::uint64_t feelers = 0;
  std::uint64_t feelers_succeeded = 0;
  std::uint64_t addresses_asked = 0;
  std::uint64_t addresses_unfit = 0;
  std::uint64_t accepted = 0;
  std::uint64_t refused_full = 0;
  std::uint64_t refused_group = 0;
  std::uint64_t refused_banned = 0;
  std::uint64_t evicted = 0;
  std::uint64_t trimmed = 0;
  std::uint64_t bans = 0;
  std::uint64_t breakers_opened = 0;
  std::uint64_t slow_downs = 0;
  std::uint64_t listener_pauses = 0;
};

}  // namespace trunkline
