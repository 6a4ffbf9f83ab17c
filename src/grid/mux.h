// SPDX-License-Identifier: Apache-2.0
//
// Requests and streams over one connection, in both directions (docs/grid-protocol.md). It is told
// frames, the program's wishes and the time, and gives frames and events; it knows no socket.
//
// What it keeps, whatever comes (check() recomputes it):
//   - each call that the program began ends by exactly one of on_result, on_end, on_failure, or by
//     its own cancel();
//   - a peer is never granted more than the pool has reserved for it;
//   - nothing that the peer does makes it hold more than its limits;
//   - control (credits, pongs, cancels, failures) is kept as state of a call or of the connection,
//     never in a queue, so reading never waits for writing.
//
// Why it cannot deadlock: the connection's credit is returned on receipt, so it depends on nobody's
// program. A stream's credit depends on its own program alone. A message that was begun is granted
// to its end. When both ends of a stream wait for credit, each widens the other's window
// (stream_rescue_max), and when even that is not read for stream_stall, the stream fails and says
// so.
#pragma once

#include <trunkline/error.h>

#include "core/string_map.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "grid/call.h"
#include "grid/call_table.h"
#include "grid/failure.h"
#include "grid/handshake.h"
#include "grid/id_map.h"
#include "grid/limits.h"
#include "grid/memory_pool.h"
#include "grid/scheduler.h"
#include "grid/wire.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::grid {

// What a call of ours asks for.
struct CallOptions {
  CallKind kind = CallKind::kRequest;
  std::string_view handler{};
  std::string payload{};
  TimePoint deadline = TimePoint::max();
  Priority priority = Priority::kBySize;
  std::uint64_t token = 0;  // comes back with every event
};

// What a call of the peer's says.
struct PeerCall {
  CallKind kind = CallKind::kRequest;
  std::string_view handler{};
  TimePoint deadline = TimePoint::max();
  Priority priority = Priority::kBySize;
};

// What happens. The Mux is consistent when it calls, and may be called back, but must not be
// destroyed. A call that has ended is forgotten before its event comes.
class MuxEvents {
 public:
  MuxEvents() = default;
  MuxEvents(const MuxEvents&) = delete;
  MuxEvents& operator=(const MuxEvents&) = delete;
  virtual ~MuxEvents() = default;

  // A call of the peer's. A request is answered by respond() or fail(), once; a stream ends by
  // finish() or fail(), once.
  virtual void on_call(Mux& mux, CallRef call, const PeerCall& what, Arrived payload) = 0;
  // The end of a request of ours: its response.
  virtual void on_result(Mux& mux, std::uint64_t token, Arrived payload) = 0;
  // The end of a call of ours: it has failed. A stream's messages that came before stay valid;
  // forget() follows.
  virtual void on_failure(Mux& mux, std::uint64_t token, const Failure& failure) = 0;
  // A message of a stream, of either side's. consumed() says when the program has taken it.
  virtual void on_message(Mux& mux, CallRef call, std::uint64_t token, Arrived payload) = 0;
  // The peer says nothing more on the stream. Of a stream of ours it is the end: everything has
  // come. forget() follows.
  virtual void on_end(Mux& mux, CallRef call, std::uint64_t token) = 0;
  // The handler of a peer's call should stop: nobody waits for it. It still has to end the call.
  virtual void on_stop(Mux& mux, CallRef call, std::uint64_t token, const Failure& why) = 0;
  // A stream that was full takes messages again.
  virtual void on_room(Mux& mux, CallRef call, std::uint64_t token) = 0;

  // Of large messages, and only for the sake of time. So many bytes of new memory will be filled;
  // of a message that is being sent, bytes from `from` to `to` are not looked at any more.
  virtual void on_will_fill(char* memory, std::size_t bytes);
  virtual void on_spent(char* message, std::size_t from, std::size_t to);
};

// Who keeps the connection.
class MuxOwner {
 public:
  MuxOwner() = default;
  MuxOwner(const MuxOwner&) = delete;
  MuxOwner& operator=(const MuxOwner&) = delete;
  virtual ~MuxOwner() = default;

  // The connection is dead: close it and call lose().
  virtual void on_dead(Mux& mux, const Error& why) = 0;
  // A timer has given it something to say.
  virtual void on_output(Mux& mux) = 0;
};

enum class SendVerdict : std::uint8_t {
  kAccepted,
  kFull,    // nothing was queued; on_room() follows
  kClosed,  // the stream is over for sending; nothing was queued
};

// Why no new calls are taken.
enum class Drain : std::uint16_t { kEnding = 0, kMoved = 1 };

struct MuxStats {
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t calls_begun = 0;
  std::uint64_t calls_taken = 0;
  std::uint64_t calls_refused = 0;
  std::uint64_t late_dropped = 0;  // messages for calls that had ended
  Duration round_trip{0};          // of the last ping; 0: none yet
  std::size_t own_calls = 0;       // now
  std::size_t handlers = 0;        // now, those of cancelled calls included
  std::size_t unsent_bytes = 0;    // now
};

// Thread: owning shard.
class Mux {
 public:
  // Everything referred to must outlive it. `handlers`: those that run for the peer, over all its
  // connections, one that is lost included. `now`: that of the handshake's end.
  Mux(const MuxOptions& options, const Agreement& agreement, Side side, MemoryPool& pool,
      TimerWheel& wheel, MuxEvents& events, MuxOwner& owner, TimePoint now,
      std::shared_ptr<std::size_t> handlers = std::make_shared<std::size_t>(0));
  Mux(const Mux&) = delete;
  Mux& operator=(const Mux&) = delete;
  ~Mux();

  // --- the network ---

  // A binary message came. After an error the connection is to be closed: nothing more is taken.
  [[nodiscard]] Result<void> on_frame(std::string_view frame, TimePoint now);

  // Something came, maybe only a part of a message: the peer is there.
  void heard(TimePoint now) { last_received_ = now; }

  // Appends one binary message's payload: whole grid messages, at most about `bytes_max` bytes.
  // Appends nothing when there is nothing to send now.
  void gather(std::string& out, std::size_t bytes_max, TimePoint now);
  [[nodiscard]] bool wants_write() const;
  // The socket takes nothing more for now; it has taken something; it has taken everything.
  void socket_blocked(TimePoint now);
  void socket_progressed(TimePoint now);
  void socket_idle();
  // The connection is gone: everything of ours fails, handlers are told to stop. Once.
  void lose(std::string_view why, TimePoint now);

  // --- calls of ours ---

  // Queues a call. The failure is the caller's own: nothing has been sent.
  [[nodiscard]] std::expected<CallRef, Failure> begin(CallOptions options, TimePoint now);
  // Ends it, without an event. The peer's handler is told to stop.
  void cancel(CallRef call);
  // The program drops a stream that has ended, and all that it has not read of it. Cancels one that
  // has not.
  void forget(CallRef call);

  // --- the peer's calls; what nobody waits for any more is dropped in silence ---

  void respond(CallRef call, std::string payload);
  void fail(CallRef call, Failure failure);
  void set_token(CallRef call, std::uint64_t token);

  // --- streams of both ---

  [[nodiscard]] SendVerdict send(CallRef call, std::string message);
  // Whether send() would not say kFull; when it would, on_room() follows.
  [[nodiscard]] bool has_room(CallRef call, std::size_t bytes);

  // What the peer takes.
  [[nodiscard]] std::size_t message_bytes_max() const { return peer_.message_bytes_max; }

  // Nothing more is sent: ours goes on receiving; the peer's has ended well.
  void finish(CallRef call);
  // What a stream may hold unread, instead of what the options say; not below the first window and
  // not above kStreamBytesBound.
  void limit_window(CallRef call, std::size_t bytes);
  // The program took a message of so many bytes.
  void consumed(CallRef call, std::size_t payload_bytes, TimePoint now);

  // --- the connection ---

  // Says Goaway. Calls that are open go on.
  void drain(Drain how);
  // Both sides have said Goaway and nothing is open: it may be closed.
  [[nodiscard]] bool is_drained() const;
  // New calls of ours are refused here.
  [[nodiscard]] bool takes_calls() const;
  // Pings at once: whether the peer is there. Answered when pongs() has reached what this gives.
  std::uint64_t probe();

  // The token of the last ping that was answered.
  [[nodiscard]] std::uint64_t pongs() const { return last_pong_; }

  // The peer has said Goaway.
  [[nodiscard]] bool peer_drains() const { return peer_drains_; }

  [[nodiscard]] bool is_draining() const { return is_draining_; }

  // The owner's, for what it knows of the connection.
  void set_tag(std::uint64_t tag) { tag_ = tag; }

  [[nodiscard]] std::uint64_t tag() const { return tag_; }

  [[nodiscard]] bool is_lost() const { return is_lost_; }

  // Neither the wire nor the program holds anything.
  [[nodiscard]] bool is_idle() const { return calls_.live() == 0; }

  [[nodiscard]] MuxStats stats() const;

  // Of the pool, by its calls. Counted anew: for checks.
  [[nodiscard]] std::size_t reserved_bytes() const;

  // Recomputes what is kept by counting. Empty, or what is wrong. For tests and the simulation.
  [[nodiscard]] std::string check() const;

 private:
  friend struct Call;

  // A buffer that is being filled, and where it has to end.
  struct Batch {
    std::string& out;
    std::size_t end = 0;
    std::size_t small_end = 0;  // as long as it has no piece of a large message
    bool has_piece = false;

    [[nodiscard]] std::size_t room() const { return out.size() < end ? end - out.size() : 0; }

    [[nodiscard]] bool is_done() const { return !has_piece && out.size() >= small_end; }
  };

  // A name that this side has given, or will give, a number.
  struct OwnName {
    std::string name;
    bool is_told = false;
  };

  class OwnTimer final : public Timer {
   public:
    OwnTimer(Mux& mux, void (Mux::*run)(TimePoint)) : mux_(mux), run_(run) {}

    void on_timer(TimePoint now) override { (mux_.*run_)(now); }

   private:
    Mux& mux_;
    void (Mux::*run_)(TimePoint);
  };

  // mux.cpp: the connection
  void on_ping_timer(TimePoint now);
  void on_write_timer(TimePoint now);
  void arm_ping(TimePoint due);
  void arm_write(TimePoint due);
  void fail_stalled(TimePoint now);
  [[nodiscard]] bool is_stalled(const Call& call, TimePoint now) const;

  // mux_calls.cpp: how calls come, end and go
  void shed_calls();
  [[nodiscard]] Call* find(CallRef ref);
  [[nodiscard]] Call* on_wire(std::uint64_t id);

  [[nodiscard]] static CallRef ref_of(const Call& call) { return {call.index, call.generation}; }

  [[nodiscard]] std::optional<Failure> why_not(const CallOptions& options) const;
  void put_on_wire(Call& call, std::uint64_t id);
  void leave_wire(Call& call);
  void stop_sending(Call& call);
  void drop_outgoing(Call& call);
  void stop_receiving(Call& call);
  void release(Call& call);
  void free_if_done(Call& call);
  void uncount(Call& call);
  void queue_last_word(Call& call, LastWord word, Failure failure);
  void end_own(Call& call, LastWord word, Failure failure);
  void end_peers(Call& call, LastWord word, Failure why);
  // Ends a stream of either side for a reason of this side's.
  void refuse(Call& call, Failure failure);
  void on_deadline(Call& call);
  void set_current(Call& call, std::string payload, bool is_opening);
  void enqueue(Call& call);
  std::uint16_t own_number(std::string_view handler);

  // mux_send.cpp
  void gather_connection(Batch& batch);
  void gather_control(Batch& batch);
  void gather_data(Batch& batch, TimePoint now);
  void say_last_word(Call& call, Batch& batch);
  void send_turn(Call& call, Batch& batch, TimePoint now);
  bool send_piece(Call& call, Batch& batch, TimePoint now);
  void send_end(Call& call, Batch& batch);
  [[nodiscard]] Message head_of(Call& call, TimePoint now);
  [[nodiscard]] std::uint64_t next_own_id() const;
  [[nodiscard]] static std::uint64_t stream_credit(const Call& call);
  void after_message(Call& call);
  [[nodiscard]] bool may_send(const Call& call) const;

  // Calls of ours that have not left. Goaway says that no more come, so it waits for them.
  [[nodiscard]] std::size_t own_waiting() const { return own_calls_ + peer_calls_ - ids_.size(); }

  [[nodiscard]] bool may_say_goaway() const { return owes_goaway_ && own_waiting() == 0; }

  void tell_room();
  void append(Batch& batch, const Message& message);

  // mux_receive.cpp
  Result<void> take(const Message& message, TimePoint now);
  Result<void> on_new_call(const Message& message, TimePoint now);
  Result<void> on_response(const Message& message);
  Result<void> on_data(const Message& message, TimePoint now);
  Result<void> on_peer_end(const Message& message);
  Result<void> on_peer_failure(const Message& message);
  Result<void> on_peer_cancel(const Message& message);
  Result<void> on_credit(const Message& message);
  Result<void> count_payload(const Message& message);
  Result<void> set_handler(Call& call, const Message& message);
  // The call that a message is about; null when it has ended. Error: there never was one.
  Result<Call*> call_of(const Message& message);
  std::optional<Failure> why_refuse(const Message& message, Call& call);
  void deliver_call(Call& call, Arrived payload);

  // mux_assembly.cpp
  void begin_partial(Call& call, const Message& message);
  Result<void> on_chunk(const Message& message);
  void complete(Call& call);
  void deliver_whole(Call& call, std::string& whole, bool is_data);

  // mux_windows.cpp
  void fit_window(TimePoint now);
  [[nodiscard]] bool grant_first(Call& call);
  [[nodiscard]] bool grant_message(Call& call, std::size_t rest);
  [[nodiscard]] std::uint32_t window_max(const Call& call) const;
  void grant_more(Call& call);
  void rescue(Call& call);
  using Reserve = bool (MemoryPool::*)(std::size_t bytes);
  [[nodiscard]] bool reserve(Call& call, std::uint64_t needed, Reserve of_pool);
  void grant(Call& call, std::uint32_t ahead);
  Result<void> count_stream(Call& call, std::uint64_t cost);

  // Constant after construction
  const MuxOptions& options_;
  const PeerLimits peer_;
  const Side side_;
  const bool checksum_;
  MemoryPool& pool_;
  TimerWheel& wheel_;
  MuxEvents& events_;
  MuxOwner& owner_;
  std::uint64_t tag_ = 0;

  CallTable calls_{*this};
  std::vector<std::unique_ptr<Outgoing>> spare_outgoing_;
  std::size_t own_calls_ = 0;
  std::size_t peer_calls_ = 0;  // on the wire
  std::size_t handlers_ = 0;
  const std::shared_ptr<std::size_t> peers_handlers_;
  std::size_t unsent_bytes_ = 0;
  IdMap ids_{calls_};
  std::uint64_t last_own_id_ = 0;
  std::uint64_t last_peer_id_ = 0;

  StringMap<std::uint16_t> own_numbers_;
  std::vector<OwnName> own_names_;
  std::vector<std::string> peer_names_;

  Scheduler scheduler_;
  IntrusiveList<Call, ControlLine> control_;
  std::vector<CallRef> room_;

  // Of the connection's credit
  std::uint64_t spent_ = 0;
  std::uint64_t send_limit_;
  std::uint64_t received_ = 0;
  std::uint64_t receive_limit_;
  std::uint64_t window_;  // granted ahead of received_
  bool owes_credit_ = false;
  Duration shortest_round_trip_ = Duration::max();
  std::uint64_t rate_ = 0;  // payload bytes a second, lately
  std::uint64_t rate_from_ = 0;
  TimePoint rate_since_;

  bool owes_ping_ = false;
  bool owes_pong_ = false;
  bool owes_goaway_ = false;
  bool is_draining_ = false;
  bool peer_drains_ = false;
  bool is_lost_ = false;
  bool is_suspected_silent_ = false;
  bool is_suspected_stuck_ = false;
  Drain drain_ = Drain::kEnding;
  std::uint64_t ping_token_ = 0;
  std::uint64_t last_pong_ = 0;
  std::uint64_t pong_token_ = 0;
  TimePoint ping_sent_;
  TimePoint ping_due_;
  TimePoint write_due_;
  TimePoint last_received_;
  TimePoint now_;  // as it was told last
  OwnTimer ping_timer_{*this, &Mux::on_ping_timer};
  OwnTimer write_timer_{*this, &Mux::on_write_timer};
  MuxStats stats_;
};

}  // namespace trunkline::grid
