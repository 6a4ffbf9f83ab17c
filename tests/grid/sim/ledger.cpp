// SPDX-License-Identifier: Apache-2.0
#include "grid/sim/ledger.h"

#include "grid/bytes.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::grid::sim {

namespace {

// A letter that depends on where it stands, so that nothing can be swapped unseen.
void pad(std::string& text, std::size_t to, std::uint64_t salt) {
  while (text.size() < to) {
    text += static_cast<char>('a' + (salt + text.size() * 7) % 26);
  }
}

std::string answer_of(const Asked& asked) {
  std::string text = fmt::format("answer {}:", asked.key);
  pad(text, asked.answer_bytes, asked.key);
  return text;
}

}  // namespace

std::string payload_of(const Asked& asked, std::size_t padding) {
  std::string text;
  append_number(text, asked.key);
  append_number(text, static_cast<std::uint8_t>(asked.kind));
  append_number(text, static_cast<std::uint8_t>(asked.plan));
  append_number(text, static_cast<std::uint32_t>(asked.answer_bytes));
  append_number(text, static_cast<std::uint32_t>(asked.messages_in));
  append_number(text, static_cast<std::uint32_t>(asked.messages_out));
  append_number(text, static_cast<std::uint32_t>(asked.message_bytes));
  append_number(text, static_cast<std::uint64_t>(asked.think.count()));
  append_number(text, static_cast<std::uint8_t>(asked.is_slow_reader ? 1 : 0));
  append_number(text, static_cast<std::uint32_t>(padding));
  pad(text, text.size() + padding, asked.key);
  return text;
}

std::optional<Asked> asked_of(std::string_view payload) {
  ByteTaker bytes(payload);
  Asked asked;
  asked.key = bytes.number<std::uint64_t>();
  asked.kind = static_cast<CallKind>(bytes.number<std::uint8_t>());
  asked.plan = static_cast<Plan>(bytes.number<std::uint8_t>());
  asked.answer_bytes = bytes.number<std::uint32_t>();
  asked.messages_in = bytes.number<std::uint32_t>();
  asked.messages_out = bytes.number<std::uint32_t>();
  asked.message_bytes = bytes.number<std::uint32_t>();
  asked.think = Duration(static_cast<Duration::rep>(bytes.number<std::uint64_t>()));
  asked.is_slow_reader = bytes.number<std::uint8_t>() != 0;
  const auto padding = bytes.number<std::uint32_t>();
  if (bytes.is_short() || payload != payload_of(asked, padding)) {
    return std::nullopt;
  }
  return asked;
}

std::string stream_message(const Asked& asked, unsigned number, bool from_caller) {
  std::string text = fmt::format("{}:{}:{}:", from_caller ? "in" : "out", asked.key, number);
  const std::uint64_t salt = asked.key * 31 + number;
  // Some are tiny, some as large as allowed.
  pad(text, number % 3 == 0 ? 0 : asked.message_bytes * (1 + number % 5) / 5, salt);
  return text;
}

void Ledger::asked(const Asked& what, std::size_t caller, std::size_t callee, TimePoint deadline) {
  Entry entry;
  entry.what = what;
  entry.caller = caller;
  entry.callee = callee;
  entry.deadline = deadline;
  calls_[what.key] = entry;
}

void Ledger::seen(std::uint64_t key, std::string_view payload, std::size_t payload_bytes) {
  const auto found = calls_.find(key);
  if (found == calls_.end() || payload.size() != payload_bytes) {
    complain(fmt::format("call {} was never made", key));
  } else if (std::exchange(found->second.is_seen, true)) {
    complain(fmt::format("call {} is seen twice", key));
  }
}

void Ledger::stopped(std::uint64_t key) {
  const auto found = calls_.find(key);
  if (found == calls_.end()) {
    complain(fmt::format("call {} is stopped and never was", key));
  } else if (std::exchange(found->second.is_stopped, true)) {
    complain(fmt::format("call {} is stopped twice", key));
  }
}

void Ledger::callee_ended(std::uint64_t key, bool well) {
  calls_.at(key).callee_is_done = true;
  calls_.at(key).callee_did_well = well;
}

void Ledger::arrived(std::uint64_t key, std::string_view message, bool at_callee) {
  Entry& entry = calls_.at(key);
  unsigned& count = at_callee ? entry.arrived_in : entry.arrived_out;
  if (message != stream_message(entry.what, count, at_callee)) {
    complain(fmt::format("call {} gets '{}' as message {} {}", key, message.substr(0, 40), count,
                         at_callee ? "in" : "out"));
  }
  if (++count > (at_callee ? entry.sent_in : entry.sent_out)) {
    complain(fmt::format("call {} gets a message that nobody has sent", key));
  }
}

void Ledger::sent(std::uint64_t key, bool from_caller) {
  Entry& entry = calls_.at(key);
  ++(from_caller ? entry.sent_in : entry.sent_out);
}

void Ledger::caller_finished(std::uint64_t key) {
  calls_.at(key).caller_is_finished = true;
}

void Ledger::input_ended(std::uint64_t key) {
  const Entry& entry = calls_.at(key);
  if (!entry.caller_is_finished || entry.arrived_in != entry.sent_in) {
    complain(fmt::format("call {} ends its input after {} of {} messages", key, entry.arrived_in,
                         entry.sent_in));
  }
}

Ledger::Entry* Ledger::end(std::uint64_t key, std::string_view how) {
  const auto found = calls_.find(key);
  if (found == calls_.end() || found->second.is_over) {
    complain(fmt::format("call {} is {} and was over, or never was", key, how));
    return nullptr;
  }
  found->second.is_over = true;
  return &found->second;
}

void Ledger::answered(std::uint64_t key, std::string_view payload) {
  const Entry* entry = end(key, "answered");
  if (entry != nullptr && (!entry->is_seen || payload != answer_of(entry->what))) {
    complain(fmt::format("call {} has a wrong answer", key));
  }
}

void Ledger::ended_well(std::uint64_t key) {
  const Entry* entry = end(key, "ended");
  if (entry != nullptr && (!entry->callee_did_well || entry->arrived_out != entry->sent_out)) {
    complain(fmt::format("stream {} looks complete after {} of {} messages, its handler {}", key,
                         entry->arrived_out, entry->sent_out,
                         entry->callee_did_well ? "did well" : "has not returned well"));
  }
}

void Ledger::failed(std::uint64_t key, const Failure& failure, TimePoint now, bool faults) {
  const Entry* entry = end(key, "failed");
  if (entry == nullptr) {
    return;
  }
  const auto lie = [&](std::string_view why) {
    complain(
        fmt::format("call {} fails with '{}': {}; {}", key, name(failure.code), failure.text, why));
  };
  if (failure.not_run && entry->is_seen) {
    lie("it says that no handler has seen it");
  }
  switch (failure.code) {
    case FailureCode::kDeadline:
      if (now < entry->deadline) {
        lie("there was time left");
      }
      break;
    case FailureCode::kHandler:
      if (!entry->callee_is_done || entry->callee_did_well) {
        lie("its handler has not failed");
      }
      break;
    case FailureCode::kDisconnected:
      if (!faults && !may_lose(*entry)) {
        lie("no connection was ever lost");
      }
      break;
    case FailureCode::kBusy:
    case FailureCode::kDraining:
      if (!failure.not_run) {
        lie("it is refused and may have run");
      }
      break;
    case FailureCode::kInvalid:
      if (!removed_.contains({entry->caller, entry->callee})) {
        lie("there is such a peer");
      }
      break;
    case FailureCode::kCancelled:
    case FailureCode::kUnknownHandler:
    case FailureCode::kThrew:
    case FailureCode::kAbandoned:
      lie("nobody did that");
      break;
    default:
      break;
  }
}

void Ledger::cancelled(std::uint64_t key) {
  end(key, "cancelled");
}

void Ledger::removed(std::size_t node, std::size_t peer) {
  removed_.insert({node, peer});
  parted_.insert({node, peer});
  parted_.insert({peer, node});
}

void Ledger::added(std::size_t node, std::size_t peer) {
  removed_.erase({node, peer});
}

void Ledger::parted(std::size_t node) {
  drained_.insert(node);
}

bool Ledger::may_lose(const Entry& entry) const {
  return parted_.contains({entry.caller, entry.callee}) || drained_.contains(entry.caller) ||
         drained_.contains(entry.callee);
}

void Ledger::crashed(std::size_t node) {
  std::erase_if(removed_, [node](const auto& each) { return each.first == node; });
  for (auto& [key, entry] : calls_) {
    if (entry.caller == node) {
      entry.is_over = true;
    }
  }
}

std::size_t Ledger::open_count() const {
  std::size_t count = 0;
  for (const auto& [key, entry] : calls_) {
    count += entry.is_over ? 0U : 1U;
  }
  return count;
}

std::string Ledger::first_open() const {
  for (const auto& [key, entry] : calls_) {
    if (!entry.is_over) {
      return fmt::format("call {} ({}, plan {}) from {} to {}: seen {}, in {}/{}, out {}/{}", key,
                         entry.what.kind == CallKind::kStream ? "stream" : "request",
                         static_cast<int>(entry.what.plan), entry.caller, entry.callee,
                         entry.is_seen, entry.arrived_in, entry.sent_in, entry.arrived_out,
                         entry.sent_out);
    }
  }
  return {};
}

}  // namespace trunkline::grid::sim
