// SPDX-License-Identifier: Apache-2.0
//
// What the node's program does: it calls, and serves what others ask for, by plan.
#include "grid/sim/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid::sim {

using namespace std::chrono_literals;

namespace {

std::string answer_text(const Asked& asked) {
  std::string text = fmt::format("answer {}:", asked.key);
  while (text.size() < asked.answer_bytes) {
    text += static_cast<char>('a' + (asked.key + text.size() * 7) % 26);
  }
  return text;
}

}  // namespace

SimNode::Flow* SimNode::flow_of(std::uint64_t token) {
  const auto found = flows_.find(token);
  return found == flows_.end() ? nullptr : &found->second;
}

// --- calling ---

void SimNode::call(const Asked& asked, std::size_t callee, const std::string& peer,
                   Duration timeout, std::size_t padding, bool waits) {
  const TimePoint deadline =
      timeout == Duration::zero() ? TimePoint::max() : schedule_.now() + timeout;
  ledger_.asked(asked, index_, callee, deadline);
  const Waiting what{asked, callee, peer, deadline, padding};
  if (waits) {
    waiting_[asked.key] = what;
    core_->wait(peer, deadline, asked.key);
  } else {
    begin(what);
  }
}

void SimNode::on_ready(std::uint64_t token, const std::optional<Failure>& failure) {
  const auto found = waiting_.extract(token);
  if (found.empty()) {
    ledger_.complain(fmt::format("{} is told of a wait that is none", name_));
  } else if (failure.has_value()) {
    ledger_.failed(token, *failure, schedule_.now(), rules_.has_faults);
  } else {
    begin(found.mapped());
  }
}

void SimNode::begin(const Waiting& what) {
  const std::uint64_t key = what.asked.key;
  const auto mux = core_->mux_of(what.peer);
  if (!mux.has_value()) {
    ledger_.failed(key, mux.error(), schedule_.now(), rules_.has_faults);
    return;
  }
  const std::uint64_t token = token_of(key, true);
  const auto ref = core_->begin(**mux, {.kind = what.asked.kind,
                                        .handler = fmt::format("handler-{}", key % 5),
                                        .payload = payload_of(what.asked, what.padding),
                                        .deadline = what.deadline,
                                        .priority = static_cast<Priority>(key % 4),
                                        .token = token});
  if (!ref.has_value()) {
    ledger_.failed(key, ref.error(), schedule_.now(), rules_.has_faults);
    return;
  }
  Flow& flow = flows_[token];
  flow.mux = *mux;
  flow.ref = *ref;
  flow.asked = what.asked;
  flow.is_caller = true;
  flow.to_send = what.asked.messages_in;
  flow.reads = what.asked.plan != Plan::kBoth;
  if (what.asked.kind == CallKind::kStream) {
    later(what.asked.think, [this, token] { go_on(token); });
  }
}

void SimNode::on_result(Mux& /*mux*/, std::uint64_t token, Arrived payload) {
  ledger_.answered(token / 2, payload.bytes());
  flows_.erase(token);
}

void SimNode::on_failure(Mux& /*mux*/, std::uint64_t token, const Failure& failure) {
  ledger_.failed(token / 2, failure, schedule_.now(), rules_.has_faults);
  drop(token);
}

// The program is done with a call of its own.
void SimNode::drop(std::uint64_t token) {
  if (const Flow* flow = flow_of(token); flow != nullptr) {
    Mux* mux = flow->mux;
    const CallRef ref = flow->ref;
    flows_.erase(token);
    mux->forget(ref);
    core_->touch(*mux);
  }
}

void SimNode::cancel_some() {
  for (const auto& [token, flow] : flows_) {
    if (flow.is_caller && ledger_.is_open(token / 2)) {
      ledger_.cancelled(token / 2);
      drop(token);
      return;
    }
  }
}

void SimNode::cancel_sleepers() {
  std::vector<std::uint64_t> sleeping;
  for (const auto& [token, flow] : flows_) {
    if (flow.is_caller && flow.asked.plan == Plan::kSleep && ledger_.is_open(token / 2)) {
      sleeping.push_back(token);
    }
  }
  for (const std::uint64_t token : sleeping) {
    ledger_.cancelled(token / 2);
    drop(token);
  }
}

// --- serving ---

void SimNode::on_call(Mux& mux, CallRef call, const PeerCall& what, Arrived payload) {
  const std::optional<Asked> asked = asked_of(payload.bytes());
  if (!asked.has_value() || asked->kind != what.kind ||
      what.handler != fmt::format("handler-{}", asked->key % 5)) {
    ledger_.complain(fmt::format("{} is asked for what nobody has said", name_));
    return;
  }
  ledger_.seen(asked->key, payload.bytes(), payload.bytes().size());
  const std::uint64_t token = token_of(asked->key, false);
  mux.set_token(call, token);
  Flow& flow = flows_[token];
  flow.mux = &mux;
  flow.ref = call;
  flow.asked = *asked;
  flow.deadline = what.deadline;
  flow.reads = asked->plan != Plan::kBoth;
  flow.caller = core_->peer_of(mux);
  std::size_t running = 0;
  for (const auto& [other, each] : flows_) {
    running += !each.is_caller && each.caller == flow.caller ? 1U : 0U;
  }
  if (running > options_.mux.handlers_max) {
    ledger_.complain(fmt::format("{} runs {} handlers of a peer, {} are allowed", name_, running,
                                 options_.mux.handlers_max));
  }
  serve(flow);
}

void SimNode::serve(Flow& flow) {
  const std::uint64_t token = token_of(flow.asked.key, false);
  if (flow.asked.plan == Plan::kSleep) {
    return;  // until it is stopped
  }
  if (flow.asked.kind == CallKind::kRequest) {
    later(flow.asked.think,
          [this, token, well = flow.asked.plan != Plan::kFail] { end_handler(token, well); });
    return;
  }
  flow.is_ready = flow.asked.plan != Plan::kIn;
  flow.to_send =
      flow.asked.plan == Plan::kEcho || flow.asked.plan == Plan::kIn ? 0 : flow.asked.messages_out;
  later(flow.asked.think, [this, token] { go_on(token); });
}

// Ends the handler: a response, an end or a failure, which may come too late.
void SimNode::end_handler(std::uint64_t token, bool well) {
  const Flow* flow = flow_of(token);
  if (flow == nullptr) {
    return;
  }
  Mux* mux = flow->mux;
  const CallRef ref = flow->ref;
  const Asked asked = flow->asked;
  flows_.erase(token);
  ledger_.callee_ended(asked.key, well);
  if (!well) {
    mux->fail(ref, {.code = FailureCode::kHandler, .application = 42, .text = "as planned"});
  } else if (asked.kind == CallKind::kRequest) {
    mux->respond(ref, answer_text(asked));
  } else {
    mux->finish(ref);
  }
  core_->touch(*mux);
}

void SimNode::on_stop(Mux& /*mux*/, CallRef /*call*/, std::uint64_t token, const Failure& /*why*/) {
  ledger_.stopped(token / 2);
  if (Flow* flow = flow_of(token); flow != nullptr) {
    flow->is_stopped = true;
    const bool does_well = flow->asked.key % 2 == 0;
    later(schedule_.between(0ms, 300ms),
          [this, token, does_well] { end_handler(token, does_well); });
  }
}

// --- streams, both sides ---

// Sends what may be sent; ends when there is nothing more.
void SimNode::go_on(std::uint64_t token) {
  Flow* flow = flow_of(token);
  if (flow == nullptr || flow->is_stopped || flow->asked.kind != CallKind::kStream) {
    return;
  }
  Mux* mux = flow->mux;
  while (flow->next < flow->to_send) {
    const SendVerdict verdict =
        mux->send(flow->ref, stream_message(flow->asked, flow->next, flow->is_caller));
    if (verdict != SendVerdict::kAccepted) {
      core_->touch(*mux);
      return;  // on_room() goes on, or somebody has ended it
    }
    ledger_.sent(flow->asked.key, flow->is_caller);
    ++flow->next;
  }
  core_->touch(*mux);
  if (!std::exchange(flow->reads, true)) {
    read(token);
    flow = flow_of(token);
  }
  if (flow == nullptr) {
    return;
  }
  if (flow->is_caller) {
    ledger_.caller_finished(flow->asked.key);
    mux->finish(flow->ref);
    core_->touch(*mux);
    return;
  }
  const Plan plan = flow->asked.plan;
  if (plan == Plan::kFail) {
    end_handler(token, false);
  } else if (plan == Plan::kOut || (flow->input_ended && plan != Plan::kSleep)) {
    end_handler(token, true);
  }
}

void SimNode::on_room(Mux& /*mux*/, CallRef /*call*/, std::uint64_t token) {
  later(0ns, [this, token] { go_on(token); });
}

void SimNode::on_message(Mux& /*mux*/, CallRef /*call*/, std::uint64_t token, Arrived payload) {
  Flow* flow = flow_of(token);
  if (flow == nullptr) {
    ledger_.complain(fmt::format("{} gets a message of a call that has ended", name_));
    return;
  }
  ledger_.arrived(flow->asked.key, payload.bytes(), !flow->is_caller);
  flow->unread.push_back(payload.bytes().size());
  flow->unread_bytes += payload.bytes().size();
  if (!flow->is_caller && flow->asked.plan == Plan::kEcho) {
    ++flow->to_send;
  }
  if (flow->reads) {
    const Duration delay = flow->asked.is_slow_reader ? schedule_.between(1ms, 200ms) : 0ns;
    later(delay, [this, token] { read(token); });
  }
  if (!flow->is_caller && flow->asked.plan == Plan::kEcho) {
    later(0ns, [this, token] { go_on(token); });
  }
}

// Takes what waits.
void SimNode::read(std::uint64_t token) {
  Flow* flow = flow_of(token);
  if (flow == nullptr) {
    return;
  }
  while (!flow->unread.empty()) {
    const std::size_t bytes = flow->unread.front();
    flow->unread.pop_front();
    flow->unread_bytes -= bytes;
    flow->mux->consumed(flow->ref, bytes, schedule_.now());
  }
  core_->touch(*flow->mux);
}

void SimNode::on_end(Mux& /*mux*/, CallRef /*call*/, std::uint64_t token) {
  Flow* flow = flow_of(token);
  if (flow == nullptr) {
    ledger_.complain(fmt::format("{} hears the end of a call that has ended", name_));
    return;
  }
  if (flow->is_caller) {
    ledger_.ended_well(flow->asked.key);
    // What has not been read may be read later, or never.
    later(schedule_.between(0ms, 20ms), [this, token] {
      read(token);
      drop(token);
    });
    return;
  }
  ledger_.input_ended(flow->asked.key);
  flow->input_ended = true;
  later(0ns, [this, token] { go_on(token); });
}

}  // namespace trunkline::grid::sim
