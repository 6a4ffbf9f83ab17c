// SPDX-License-Identifier: Apache-2.0
//
// The connection manager: keeps a program's outbound connections alive and its inbound ones in
// bounds. It knows nothing of what is spoken on them, and it dials through a function, so it serves
// any program; without one it dials TCP.
//
//   auto manager = PeerManager::create({.target_outbound = 8},
//                                      {.next_address = [] { return some_address(); },
//                                       .on_connected = [](PeerId id, auto connection) { … },
//                                       .on_disconnected = [](PeerId id, auto reason) { … }});
//   (*manager)->connect({.address = "db.example:7000", .permanent = true});
//   (*manager)->start();
//   …
//   (*manager)->stop();
//   (*manager)->wait();
//
// States of a request (docs/peers.md has the whole table):
//
//   pending                --its dial succeeds-->           connected
//   pending                --its dial fails-->              failing
//   connected              --it ends, disconnect()-->       disconnected
//   failing, disconnected  --the retry is due-->            pending       (permanent ones only)
//   all but connected      --cancel(), remove()-->          cancelled
//
// A request that is not permanent ends, and is forgotten, where a permanent one would be retried;
// so does every request when it is cancelled. The manager itself then looks for another address
// while there are fewer automatic connections than target_outbound.
//
// Threads: every method may be called from any thread, also inside callbacks, and takes effect at
// once. Hooks run on the manager's own thread, one at a time, in the order in which things
// happened, and hold no lock. They must be short. One that throws closes the connection that it was
// called for, or does nothing else.
#pragma once

#include <trunkline/error.h>
#include <trunkline/peer_types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

namespace net {
class PeerDriver;
}  // namespace net

// What a dial gives. The manager and the program share it; what it holds is freed when both have
// dropped it, so a descriptor is not used again while somebody may still look at it.
class PeerConnection {
 public:
  PeerConnection() = default;
  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;
  virtual ~PeerConnection() = default;

  // Ends it: nothing can be sent or received any more, and the manager knows. To be called when the
  // program finds that the other side has gone, too: the manager does not read. Only the first call
  // counts. Thread: any.
  void close(std::string_view reason = "closed by the program");

  // Whether close() was called, by the program or by the manager. Thread: any.
  [[nodiscard]] bool is_closed() const;

 protected:
  // Does the ending; called once. Thread: any.
  virtual void shut_down() = 0;

 private:
  friend class net::PeerDriver;
  // From now on, or at once when it has happened: what close() calls.
  void on_close(std::function<void(std::string_view)> told);

  mutable std::mutex mutex_;
  bool is_closed_ = false;
  std::string reason_;
  std::function<void(std::string_view)> told_;
};

// A TCP connection, as the default dial and the listeners give it: non-blocking, TCP_NODELAY.
class PeerSocket final : public PeerConnection {
 public:
  // Owns the descriptor.
  explicit PeerSocket(int descriptor) : descriptor_(descriptor) {}

  // Closes the descriptor.
  ~PeerSocket() override;

  // Valid as long as this object; after close() every use fails or says "end". Thread: any.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 protected:
  void shut_down() override;

 private:
  const int descriptor_;
};

// The answer of a dial: call it once, from any thread, or destroy it, which counts as a failure. A
// connection that comes after the dial was given up is closed.
using PeerDialDone = std::move_only_function<void(Result<std::shared_ptr<PeerConnection>>)>;
// The same for a resolver.
using PeerResolveDone = std::move_only_function<void(Result<std::vector<PeerEndpoint>>)>;

// All optional.
struct PeerHooks {
  // An address for the target, or nothing when there is none now: then one of the address book's is
  // taken, or it is asked again after a while. Unfit ones (connected already, banned, failing, of a
  // group that has its share) are passed over.
  std::function<std::optional<std::string>()> next_address{};

  // Dials one endpoint. The function that it returns is called when the dial is given up; it should
  // make the answer come, or be destroyed, soon: wait() waits for it. Empty: TCP.
  std::function<std::move_only_function<void()>(const PeerEndpoint&, PeerDialDone)> dial{};

  // Finds the addresses of a name. Empty: the system's resolver, whose questions cannot be taken
  // back: wait() waits for their answers.
  std::function<void(std::string_view host, std::uint16_t port, PeerResolveDone)> resolve{};

  // A request is connected. Never for one that was cancelled before.
  std::function<void(PeerId, std::shared_ptr<PeerConnection>)> on_connected{};
  // A listener has accepted one that may stay.
  std::function<void(PeerId, std::shared_ptr<PeerConnection>)> on_accept{};
  // A connection of either kind has ended, whoever ended it: once for each on_connected and
  // on_accept. It is closed already.
  std::function<void(PeerId, std::string_view reason)> on_disconnected{};
  // Everything that happens.
  std::function<void(const PeerEvent&)> on_event{};
};

// Thread: any, for every method that does not say otherwise.
class PeerManager {
 public:
  // Errors: kConfig with the option that cannot be.
  [[nodiscard]] static Result<std::unique_ptr<PeerManager>> create(PeerOptions options,
                                                                   PeerHooks hooks);
  PeerManager(const PeerManager&) = delete;
  PeerManager& operator=(const PeerManager&) = delete;
  // Stops and waits; inside a hook it only stops, and the thread ends by itself.
  ~PeerManager();

  // Listens on an IP address; port 0: any, the answer says which. Before start() only. Errors:
  // kSystem, kUnavailable after start().
  [[nodiscard]] Result<std::uint16_t> listen(const std::string& address, std::uint16_t port);

  // What save() gave, before start() only: addresses that were good are dialled first then. Errors:
  // kMalformed with the line, and nothing was taken; kClosed after start().
  [[nodiscard]] Result<void> restore(std::string_view text);
  // Addresses with their past, lasting scores and bans, as text for a file.
  [[nodiscard]] std::string save() const;

  // Starts the thread. Requests that were made before are dialled now. Errors: kClosed when it was
  // started or stopped before, kSystem when there is no thread left.
  [[nodiscard]] Result<void> start();
  // Ends everything: dials are given up, connections closed (on_disconnected runs for each),
  // listeners closed. Returns at once. Calls that make something are refused (kClosed) afterwards.
  void stop();
  // Waits until a stop is complete: no timer, dial, socket or hook of the manager is left. A socket
  // that the program still holds is shut down and closed when it is dropped. Inside a hook it
  // returns at once. Blocks for ever if nobody stops the manager.
  void wait();

  // Asks for a connection. Success means that the request is taken. Errors: kInvalidArgument (no
  // address), kAlreadyExists (there is one for the address), kPermissionDenied (banned),
  // kLimitExceeded (requests_max), kClosed (stopped).
  [[nodiscard]] Result<PeerId> connect(PeerRequest request);
  // Ends the connection, or the dial; a permanent request is retried later, another one has ended.
  // Errors, of all of these: kNotFound for a peer that has ended, kClosed after a stop.
  Result<void> disconnect(PeerId id);
  // Forgets a request that is not connected: on_connected is not called for it any more, even when
  // its dial has succeeded just now. Errors: kUnavailable when it is connected.
  Result<void> cancel(PeerId id);
  // Ends and forgets it, whatever its state.
  Result<void> remove(PeerId id);

  // Never evicted or trimmed; or so no longer.
  Result<void> protect(PeerId id);
  Result<void> unprotect(PeerId id);
  Result<void> set_merit(PeerId id, PeerMerit merit);

  // Addresses that somebody told of; the target and the feelers may try them. Errors:
  // kInvalidArgument for the first that is none; those before it were taken.
  Result<void> learn(std::vector<std::string> addresses);

  // Penalties of a host ("192.0.2.1", "host.example"), or of a peer's host: a lasting part and one
  // that halves every score_half_life. Errors: kInvalidArgument, kNotFound.
  Result<void> penalize(std::string host, double lasting, double decaying);
  Result<void> penalize(PeerId id, double lasting, double decaying);
  // Whatever its score; nothing: for ban_duration. Errors: kUnavailable for one that is allowed.
  Result<void> ban(std::string host, std::optional<std::chrono::milliseconds> duration = {});
  // Ends a ban. Errors: kNotFound when there is none.
  Result<void> forgive(std::string host);
  // Never banned, evicted, or counted by inbound_per_group from now on.
  Result<void> allow(std::string host);
  [[nodiscard]] double score(std::string_view host) const;

  [[nodiscard]] PeerCounts counts() const;
  [[nodiscard]] PeerMetrics metrics() const;
  // Errors: kNotFound.
  [[nodiscard]] Result<PeerInfo> info(PeerId id) const;
  // Of one moment, in the order in which they were made. The visitor may call the manager.
  void for_each(const std::function<void(const PeerInfo&)>& visit) const;

 private:
  explicit PeerManager(std::shared_ptr<net::PeerDriver> driver);

  std::shared_ptr<net::PeerDriver> driver_;
};

}  // namespace trunkline
