// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"

#include "core/assert.h"
#include "core/probe.h"
#include "session/json.h"
#include "session/json_codec.h"
#include "ws/frame.h"

#include <algorithm>
#include <utility>

namespace trunkline::session {

namespace {

constexpr TimePoint kNever = TimePoint::max();

// How long until something that expires is ended, at most a day: what lies beyond is looked at
// again then. Counted in milliseconds, since times of day after the year 2262 do not fit
// nanoseconds, and "never" in a token is often later than that.
Duration until(WallTime expire_at, Duration grace, WallTime now) {
  const auto left = expire_at - now + std::chrono::ceil<WallTime::duration>(grace);
  return std::min<WallTime::duration>(left, std::chrono::days(1));
}

// {"push":{"channel":"…","gap":{"from":…,"to":…}}}: the offsets that the subscriber will never get.
// A push of our own: clients that do not know it pass it by.
std::string gap_push(std::string_view channel, Offset from, Offset to) {
  JsonText json;
  json.raw(R"({"push":{"channel":)").string(channel);
  json.raw(R"(,"gap":{"from":)").number(from.value).raw(R"(,"to":)").number(to.value).raw("}}}");
  return std::string(json.view());
}

// {"push":{"channel":"…","unsubscribe":{"code":…,"reason":"…"}}}
std::string unsubscribe_push(std::string_view channel, Unsubscribe why) {
  JsonText json;
  json.raw(R"({"push":{"channel":)").string(channel).raw(R"(,"unsubscribe":{"code":)");
  json.number(why.code).raw(R"(,"reason":)").string(why.reason).raw("}}}");
  return json.take();
}

}  // namespace

Session::Session(Environment& environment, Link& link, Fields request_headers)
    : hub::Sink(&link),
      environment_(environment),
      link_(link),
      id_(environment.registry.add(*this)),
      context_(request_headers.empty() ? nullptr
                                       : std::make_shared<const ClientContext>(ClientContext{
                                             .request_headers = std::move(request_headers)})),
      stale_at_(environment.now.monotonic + environment.options.client.stale_close_delay),
      ping_at_(kNever),
      pong_due_(kNever) {
  arm();
}

Session::~Session() {
  end();
  environment_.registry.remove(id_);
}

void Session::end() {
  if (state_ == State::kConnected) {
    --environment_.stats.connected;
    environment_.registry.remove_user(user_, id_);
    if (environment_.application != nullptr) {
      environment_.application->disconnected(caller());
    }
  }
  if (std::exchange(counted_, false)) {
    environment_.users->release(user_);
  }
  state_ = State::kEnded;
  if (std::exchange(asked_, false)) {
    environment_.application->forget(client_);
  }
  connecting_.reset();
  environment_.timers.disarm(*this);
  waiting_.clear();
  // Each ends at its home from its destructor; moved out so that nothing finds half a list.
  const std::vector<Entry> ending = std::move(entries_);
  entries_.clear();
}

void Session::disconnect(std::uint16_t code, std::string_view reason) {
  if (state_ == State::kEnded) {
    return;
  }
  if (TRUNKLINE_MUTANT("disconnect-forgets-subscribing") && code == kDisconnectShutdown.code &&
      std::ranges::any_of(entries_, [](const Entry& entry) { return entry.pending != nullptr; })) {
    return;
  }
  flush_batch();
  ++environment_.stats.disconnects[code];
  end();
  link_.close(code, reason);
  link_.want_flush();
}

// For where somebody up the stack goes on with this session or with the hub's subscriptions.
void Session::end_soon(const Disconnect& why) {
  if (ending_ == nullptr && state_ != State::kEnded) {
    ending_ = &why;
    environment_.timers.arm(*this, environment_.now.monotonic);
  }
}

bool Session::unsubscribe(std::string_view channel, Unsubscribe why) {
  const Entry* entry = find_entry(channel);
  if (state_ != State::kConnected || entry == nullptr) {
    return false;
  }
  if (entry->pending) {
    entry->pending->ended = why;
    return true;
  }
  const std::string name(channel);
  erase_entry(*entry);
  emit(unsubscribe_push(name, why));
  return true;
}

// — replies —

void Session::reply(std::uint32_t id, std::string_view name, std::string_view result) {
  JsonText json;
  json.raw(R"({"id":)").number(id).raw(R"(,")").raw(name).raw(R"(":)").raw(result).raw("}");
  emit(json.view());
}

void Session::reply_error(std::uint32_t id, const ErrorReply& error) {
  ++environment_.stats.error_replies[error.code];
  JsonText json;
  json.raw(R"({"id":)").number(id).raw(R"(,"error":{"code":)").number(error.code);
  json.raw(R"(,"message":)").string(error.message);
  json.raw(error.temporary ? R"(,"temporary":true}})" : "}}");
  emit(json.view());
  count_error();
}

void Session::emit(std::string_view message) {
  if (state_ == State::kEnded) {
    return;
  }
  if (!in_batch_) {
    link_.outbox().push_reply(link_.text_frame(message));
    link_.want_flush();
    return;
  }
  static constexpr std::size_t kBatchBytesMax = 64UL * 1024;
  if (!batch_.empty()) {
    batch_ += '\n';
  }
  batch_ += message;
  if (batch_.size() > kBatchBytesMax) {
    flush_batch();
  }
}

void Session::flush_batch() {
  if (!batch_.empty()) {
    link_.outbox().push_reply(link_.text_frame(batch_));
    link_.want_flush();
    batch_ = std::string{};
  }
}

void Session::answered(TimePoint received, bool exclusive) {
  TRUNKLINE_ASSERT(in_flight_ > 0);
  --in_flight_;
  if (exclusive) {
    exclusive_ = false;
  }
  environment_.stats.command_latency.add(environment_.now.monotonic - received);
  if (!in_batch_) {
    resume();
  }
}

// — hub::Sink —

void Session::on_ready(hub::Subscription& subscription) {
  link_.outbox().add_source(subscription);
  link_.want_flush();
}

bool Session::send(std::string_view data) {
  if (state_ != State::kConnected || ending_ != nullptr) {
    return false;
  }
  flush_batch();
  JsonText json;
  json.raw(R"({"push":{"message":{"data":)").raw(data).raw("}}}");
  std::string frame = link_.text_frame(json.view());
  const bool taken = link_.outbox().push(std::move(frame)) == outbox::Verdict::kAccepted;
  if (taken) {
    link_.want_flush();
  } else {
    log_limit(Limit::kSlow, "was not sent a message: client.queue_max_size is full");
  }
  return taken;
}

void Session::on_event(hub::Subscription& /*subscription*/, hub::EventKind /*kind*/,
                       const hub::SharedFrame& frame) {
  if (state_ == State::kEnded || ending_ != nullptr) {
    return;
  }
  flush_batch();
  if (link_.outbox().push(*frame) == outbox::Verdict::kAccepted) {
    link_.want_flush();
    return;
  }
  // Events are in no log: a client that cannot take one is told so by the end of its connection.
  TRUNKLINE_SOMETIMES("event does not fit");
  log_limit(Limit::kSlow, "was closed as slow (3008): client.queue_max_size is full");
  end_soon(kDisconnectSlow);
}

void Session::on_lost(hub::Subscription& subscription) {
  TRUNKLINE_SOMETIMES("live subscriber lost its place");
  const std::string channel = subscription.channel();
  const ChannelOptions* options = find_options(environment_.options.channel, channel);
  switch (options == nullptr ? OnLost::kResync : options->on_lost) {
    case OnLost::kResync:
      if (is_from_server(channel)) {
        // The client can not ask for it again; connecting again, it says where it stood.
        disconnect(kDisconnectInsufficientState);
      } else {
        unsubscribe(channel, kUnsubscribeInsufficientState);
      }
      return;
    case OnLost::kDisconnect:
      disconnect(kDisconnectInsufficientState);
      return;
    case OnLost::kSkip:
      skip_to(subscription, subscription.window().head().next());
      return;
    case OnLost::kLatest:
      const replay::Window& window = subscription.window();
      skip_to(subscription, window.empty() ? window.head().next() : window.head());
      return;
  }
}

void Session::skip_to(hub::Subscription& subscription, Offset next) {
  TRUNKLINE_SOMETIMES("a gap was told");
  flush_batch();
  const std::string push =
      gap_push(subscription.channel(), subscription.next(), Offset{next.value - 1});
  if (!TRUNKLINE_MUTANT("gap-not-told") &&
      link_.outbox().push(link_.text_frame(push)) != outbox::Verdict::kAccepted) {
    disconnect(kDisconnectSlow);
    return;
  }
  link_.want_flush();
  subscription.resume_at(next);
}

// — time —

void Session::arm() {
  if (ending_ != nullptr) {
    return;  // the timer is armed for its end
  }
  TimePoint due = kNever;
  const Now& now = environment_.now;
  const ClientOptions& options = environment_.options.client;
  switch (state_) {
    case State::kNew:
    case State::kRefused:
      due = stale_at_;
      break;
    case State::kConnected:
      due = std::min(ping_at_, pong_due_);
      if (expire_at_.has_value()) {
        const bool asks = refreshes_itself() && !refreshing_;
        due = std::min(
            due, now.monotonic + until(*expire_at_,
                                       asks ? Duration{0} : options.expired_close_delay, now.wall));
      }
      for (const Entry& entry : entries_) {
        // One that is on its way can not be ended; its end is looked at when it has come.
        if (!entry.pending && entry.granted && entry.granted->expire_at.has_value()) {
          const bool asks = entry.granted->is_applications && !entry.granted->refreshing;
          const Duration grace = asks ? Duration{0} : options.expired_sub_close_delay;
          due = std::min(due, now.monotonic + until(*entry.granted->expire_at, grace, now.wall));
        }
      }
      break;
    case State::kEnded:
      break;
  }
  if (due == kNever) {
    environment_.timers.disarm(*this);
  } else {
    environment_.timers.arm(*this, due);
  }
}

void Session::on_timer(TimePoint now) {
  if (ending_ != nullptr) {
    disconnect(*ending_);
    return;
  }
  if (state_ != State::kConnected) {
    if (now >= stale_at_) {
      log_limit(Limit::kStale,
                "was closed (3502): not authenticated within client.stale_close_delay");
      disconnect(kDisconnectStale);
    } else {
      arm();
    }
    return;
  }
  if (awaiting_pong_ && now >= pong_due_) {
    TRUNKLINE_SOMETIMES("no pong");
    disconnect(kDisconnectNoPong);
    return;
  }
  if (now >= ping_at_) {
    // A ping that finds no room waits behind others: the next one is due soon enough.
    std::string ping =
        link_.wants_native_pings() ? ws::make_frame(ws::Opcode::kPing, {}) : text_frame("{}");
    if (link_.outbox().push_control(std::move(ping)) == outbox::Verdict::kAccepted) {
      awaiting_pong_ = true;
      pong_due_ = TRUNKLINE_MUTANT("pong-not-awaited")
                      ? kNever
                      : now + environment_.options.client.pong_timeout;
      link_.want_flush();
    }
    ping_at_ = now + environment_.options.client.ping_interval;
  }
  check_expiry();
  arm();
}

void Session::check_expiry() {
  const WallTime now = environment_.now.wall;
  const ClientOptions& options = environment_.options.client;
  if (expire_at_.has_value() &&
      until(*expire_at_, options.expired_close_delay, now) <= Duration{0}) {
    disconnect(kDisconnectExpired);
    return;
  }
  if (expire_at_.has_value() && refreshes_itself() && !refreshing_ &&
      until(*expire_at_, Duration{0}, now) <= Duration{0}) {
    ask_refresh();
    if (state_ != State::kConnected) {
      return;
    }
  }
  check_subscriptions_expiry();
}

void Session::check_subscriptions_expiry() {
  const WallTime now = environment_.now.wall;
  const Duration grace = environment_.options.client.expired_sub_close_delay;
  // By name, since both an end and an answer at once change the list.
  std::vector<std::string> expired;
  std::vector<std::string> due;
  for (const Entry& entry : entries_) {
    if (entry.pending || !entry.granted || !entry.granted->expire_at.has_value()) {
      continue;
    }
    const Granted& granted = *entry.granted;
    if (until(*granted.expire_at, grace, now) <= Duration{0}) {
      expired.push_back(entry.channel());
    } else if (granted.is_applications && !granted.refreshing &&
               until(*granted.expire_at, Duration{0}, now) <= Duration{0}) {
      due.push_back(entry.channel());
    }
  }
  for (const std::string& channel : expired) {
    if (state_ == State::kConnected) {
      end_expired(channel);
    }
  }
  for (const std::string& channel : due) {
    const Entry* entry = state_ == State::kConnected ? find_entry(channel) : nullptr;
    if (entry != nullptr && entry->granted) {
      ask_sub_refresh(channel, *entry->granted);
    }
  }
}

void Session::end_expired(const std::string& channel) {
  if (is_from_server(channel)) {
    disconnect(kDisconnectSubscriptionExpired);
  } else {
    unsubscribe(channel, kUnsubscribeExpired);
  }
}

}  // namespace trunkline::session
