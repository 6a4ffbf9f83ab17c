// SPDX-License-Identifier: Apache-2.0
//
// What the simulation knows of every call by itself: what was asked for, what each side has seen,
// and how it has ended. It holds the grid to what it promises, and shares no code with it.
#pragma once

#include "core/time.h"
#include "grid/call.h"
#include "grid/failure.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::grid::sim {

// What a call is meant to do; travels in its payload.
enum class Plan : std::uint8_t {
  kEcho,   // request: answered with as much as was asked for; stream: each message comes back
  kFail,   // the handler fails, after some messages
  kSleep,  // the handler ends only when it is stopped
  kIn,     // stream: only the caller sends
  kOut,    // stream: only the callee sends
  kBoth,   // stream: both send everything before they read
};

struct Asked {
  std::uint64_t key = 0;
  CallKind kind = CallKind::kRequest;
  Plan plan = Plan::kEcho;
  std::size_t answer_bytes = 0;  // of a request
  unsigned messages_in = 0;      // of a stream
  unsigned messages_out = 0;
  std::size_t message_bytes = 0;  // at most
  Duration think{0};              // before the handler answers, between its messages
  bool is_slow_reader = false;
};

[[nodiscard]] std::string payload_of(const Asked& asked, std::size_t padding);
// Nothing for what payload_of() has not made.
[[nodiscard]] std::optional<Asked> asked_of(std::string_view payload);
// The n-th message of a stream in one direction.
[[nodiscard]] std::string stream_message(const Asked& asked, unsigned number, bool from_caller);

class Ledger {
 public:
  // What was broken first; empty: nothing.
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

  void complain(std::string text) {
    if (wrong_.empty()) {
      wrong_ = std::move(text);
    }
  }

  void asked(const Asked& what, std::size_t caller, std::size_t callee, TimePoint deadline);
  // Told by the callee.
  void seen(std::uint64_t key, std::string_view payload, std::size_t payload_bytes);
  void stopped(std::uint64_t key);
  void callee_ended(std::uint64_t key, bool well);
  // A message of a stream has arrived; `number` is what it says of itself.
  void arrived(std::uint64_t key, std::string_view message, bool at_callee);
  void sent(std::uint64_t key, bool from_caller);
  void caller_finished(std::uint64_t key);
  void input_ended(std::uint64_t key);  // told to the callee
  // Told by the caller; each is the end of it.
  void answered(std::uint64_t key, std::string_view payload);
  void ended_well(std::uint64_t key);
  void failed(std::uint64_t key, const Failure& failure, TimePoint now, bool faults);
  void cancelled(std::uint64_t key);
  // A node has no peer of this name any more, and whoever was connected to it is not; or has again.
  void removed(std::size_t node, std::size_t peer);
  void added(std::size_t node, std::size_t peer);
  // Its connections will end, with all others.
  void parted(std::size_t node);
  // A node is no more: what it has asked for is nobody's.
  void crashed(std::size_t node);

  [[nodiscard]] bool is_open(std::uint64_t key) const {
    const auto found = calls_.find(key);
    return found != calls_.end() && !found->second.is_over;
  }

  [[nodiscard]] std::size_t open_count() const;
  [[nodiscard]] std::string first_open() const;

 private:
  struct Entry {
    Asked what;
    std::size_t caller = 0;
    std::size_t callee = 0;
    TimePoint deadline;
    bool is_over = false;
    bool is_seen = false;
    bool is_stopped = false;
    bool callee_is_done = false;
    bool callee_did_well = false;
    bool caller_is_finished = false;
    unsigned sent_in = 0;
    unsigned sent_out = 0;
    unsigned arrived_in = 0;
    unsigned arrived_out = 0;
  };

  Entry* end(std::uint64_t key, std::string_view how);

  [[nodiscard]] bool may_lose(const Entry& entry) const;

  std::map<std::uint64_t, Entry> calls_;
  std::set<std::pair<std::size_t, std::size_t>> removed_;  // node and peer, now
  std::set<std::pair<std::size_t, std::size_t>> parted_;   // ever, in both orders
  std::set<std::size_t> drained_;                          // ever
  std::string wrong_;
};

}  // namespace trunkline::grid::sim
