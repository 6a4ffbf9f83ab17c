// SPDX-License-Identifier: Apache-2.0
//
// Who may come in: connections in total and by remote address. Pure counting, decided when a
// connection is accepted and before anything is spent on it; net/door does what is said here.
//
// At the limit the server must still be operable: a load balancer that finds no /health takes the
// node away, and a backend has to publish to those who are connected. So beyond the limit a few
// connections more are accepted, which may do everything but become a WebSocket; what comes beyond
// those is turned away without being read.
#pragma once

#include "core/log_throttle.h"
#include "core/random.h"
#include "core/time.h"
#include "net/address_key.h"
#include "net/http.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace trunkline::net {

// The limits of a whole server; 0: no limit. Configuration keys: docs/limits.md.
struct LimitOptions {
  std::size_t connections_max = 0;
  std::size_t connections_per_address_max = 0;
  std::uint32_t handshakes_per_second = 0;
  // How long a handshake above the rate may have to wait; 0: it is refused at once. Shorter than
  // the 10 s after which clients commonly give up.
  Duration handshake_wait_max = std::chrono::seconds(5);
  // Of logs, outboxes, connections and subscriptions together, by the server's own account.
  std::size_t memory_bytes_max = 0;
  // What the kernel holds for a connection beyond what is on its way to the peer. More would only
  // delay pings and cost a stalled client's worth of memory; it does not bound the throughput.
  std::size_t unsent_bytes_max = 128UL * 1024;
};

// Why a connection does not get what it came for.
enum class Refusal : std::uint8_t {
  kConnectionLimit,
  kAddressLimit,
  kHandshakeRate,
  kMemory,
  kDescriptors,  // the process may open no more of them
};
inline constexpr std::size_t kRefusals = 5;

// As metrics and logs call it. Thread: any.
[[nodiscard]] std::string_view name(Refusal refusal);

// What the client is told: 429 when it can do something about it, else 503; with Retry-After,
// spread so that those who are refused together do not come back together. Thread: any (but for
// `random`).
[[nodiscard]] HttpResponse refusal_response(Refusal refusal, Random& random);

// What a connection was counted as.
struct Place {
  AddressKey address;
  bool is_spare = false;
  // Set for a spare one: why it may not become a WebSocket.
  std::optional<Refusal> no_websocket;
};

// A connection's place, which is given back when the connection has gone.
class Ticket {
 public:
  using GiveBack = std::function<void(const Place&)>;

  // Of a connection that nobody counts.
  Ticket() = default;

  // `give_back` must outlive the ticket; it is called once, on the thread that destroys it.
  Ticket(Place place, const GiveBack& give_back) : place_(place), give_back_(&give_back) {}

  Ticket(Ticket&& other) noexcept
      : place_(other.place_), give_back_(std::exchange(other.give_back_, nullptr)) {}

  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;
  Ticket& operator=(Ticket&&) = delete;

  ~Ticket() {
    if (give_back_ != nullptr) {
      (*give_back_)(place_);
    }
  }

  [[nodiscard]] const Place& place() const { return place_; }

 private:
  Place place_;
  const GiveBack* give_back_ = nullptr;
};

struct AdmissionStats {
  std::uint64_t connections = 0;  // now, accepted sockets of any kind
  std::uint64_t addresses = 0;    // now, with connections
  std::array<std::uint64_t, kRefusals> refused{};
  std::uint64_t handshakes_waiting = 0;  // now
  std::uint64_t handshakes_delayed = 0;  // that had to wait
};

// Thread: the listener's shard.
class Admission {
 public:
  // Beyond the limit, for everything but WebSockets.
  static constexpr std::size_t kSpareMax = 64;

  explicit Admission(const LimitOptions& options) : options_(options) {}

  // A connection from `address`: its place, to be given back by leave(); or why it is turned away.
  // `memory_exhausted`: nothing new may become a WebSocket.
  [[nodiscard]] std::expected<Place, Refusal> arrive(const AddressKey& address,
                                                     bool memory_exhausted);
  void leave(const Place& place);

  // Counts a refusal. The line for the log, when it is time for one.
  [[nodiscard]] std::optional<std::string> refused(Refusal refusal, const AddressKey& address,
                                                   TimePoint now);

  [[nodiscard]] const AdmissionStats& stats() const { return stats_; }

 private:
  const LimitOptions options_;
  std::size_t spare_ = 0;
  std::unordered_map<AddressKey, std::size_t, AddressKeyHash> by_address_;
  std::array<LogThrottle, kRefusals> throttles_;
  AdmissionStats stats_;
};

}  // namespace trunkline::net
