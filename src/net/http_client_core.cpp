// SPDX-License-Identifier: Apache-2.0
#include "net/http_client_core.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr unsigned kStatusOk = 200;

// A token (RFC 9110, section 5.6.2).
bool is_field_name(std::string_view name) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || kMarks.contains(letter);
  });
}

bool is_field_value(std::string_view value) {
  return std::ranges::none_of(value, [](char letter) {
    const auto byte = static_cast<unsigned char>(letter);
    return (byte < 0x20 && letter != '\t') || byte == 0x7f;
  });
}

}  // namespace

HttpClientCore::HttpClientCore(asio::io_context& io, HttpClientOptions options, Url url)
    : io_(io), options_(std::move(options)), url_(std::move(url)), idle_timer_(io) {}

HttpClientCore::~HttpClientCore() {
  end();
}

// — calls —

std::string HttpClientCore::make_request(const HttpCallRequest& request) const {
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
                                 request.method, url_.target, url_.authority, request.body.size());
  for (const auto& [name, value] : request.fields) {
    if (is_field_name(name) && is_field_value(value)) {
      head += fmt::format("{}: {}\r\n", name, value);
    }
  }
  head += "\r\n";
  return head + request.body;
}

std::uint64_t HttpClientCore::begin(HttpCallRequest request, HttpDone done,
                                    std::move_only_function<HttpFlow(std::string_view)> on_line) {
  const std::uint64_t id = ++last_id_;
  Call& call = *calls_.emplace(id, std::make_unique<Call>(io_)).first->second;
  call.head_and_body = make_request(request);
  call.done = std::move(done);
  call.takes_lines = static_cast<bool>(on_line);
  call.on_line = std::move(on_line);
  if (request.timeout > Duration{0}) {
    arm_timeout(id, request.timeout);
  }
  if (users_.size() < options_.requests_max) {
    start(id, call);
  } else if (waiting_.size() < options_.waiting_max) {
    waiting_.push_back(id);
  } else {
    fail_later(id, Error{ErrorCode::kLimitExceeded,
                         fmt::format("{} requests are on their way and {} wait already",
                                     users_.size(), waiting_.size())});
  }
  return id;
}

void HttpClientCore::arm_timeout(std::uint64_t id, Duration timeout) {
  asio::steady_timer& timer = calls_.at(id)->timer;
  timer.expires_after(timeout);
  timer.async_wait([weak = weak_from_this(), id, timeout](const error_code& error) {
    if (const auto self = weak.lock(); self && !error && self->calls_.contains(id)) {
      const bool waited = self->calls_.at(id)->stream == nullptr;
      self->finish(id,
                   fail(ErrorCode::kTimeout,
                        fmt::format("no answer within {} ms{}",
                                    std::chrono::ceil<std::chrono::milliseconds>(timeout).count(),
                                    waited ? ", waiting for others to end" : "")));
    }
  });
}

void HttpClientCore::fail_later(std::uint64_t id, Error error) {
  asio::post(io_, [weak = weak_from_this(), id, error = std::move(error)]() mutable {
    if (const auto self = weak.lock(); self && self->calls_.contains(id)) {
      self->finish(id, std::unexpected(std::move(error)));
    }
  });
}

void HttpClientCore::start(std::uint64_t id, Call& call) {
  if (idle_.empty()) {
    dial(id, call);
    return;
  }
  call.stream = std::move(idle_.back().stream);
  idle_.pop_back();
  call.is_kept = true;
  users_.emplace(call.stream.get(), id);
  call.stream->send(call.head_and_body);
}

void HttpClientCore::dial(std::uint64_t id, Call& call) {
  ++dialled_;
  call.is_kept = false;
  call.stream = std::make_shared<DialledStream>(io_, buffers_, url_, options_.tls, *this);
  users_.emplace(call.stream.get(), id);
  call.stream->send(call.head_and_body);
  call.stream->start();
}

void HttpClientCore::start_waiting() {
  while (!waiting_.empty() && users_.size() < options_.requests_max) {
    const std::uint64_t id = waiting_.front();
    waiting_.pop_front();
    start(id, *calls_.at(id));
  }
}

void HttpClientCore::cancel(std::uint64_t id) {
  // What the handlers hold goes at the end of this function.
  const std::unique_ptr<Call> ended = take_out(id, false);
  start_waiting();
}

void HttpClientCore::resume(std::uint64_t id) {
  const auto found = calls_.find(id);
  if (found == calls_.end() || !std::exchange(found->second->is_paused, false)) {
    return;
  }
  asio::post(io_, [weak = weak_from_this(), id] {
    const auto self = weak.lock();
    if (self && self->calls_.contains(id) && !self->calls_.at(id)->is_giving) {
      self->advance(id);
    }
  });
}

void HttpClientCore::end() {
  if (std::exchange(is_ended_, true)) {
    return;
  }
  const auto calls = std::exchange(calls_, {});
  waiting_.clear();
  users_.clear();
  for (const auto& [id, call] : calls) {
    if (call->stream) {
      call->stream->close();
    }
  }
  for (const Idle& idle : std::exchange(idle_, {})) {
    idle.stream->close();
  }
  idle_timer_.cancel();
}

// — what comes —

void HttpClientCore::on_stream_bytes(DialledStream& stream, std::string_view bytes) {
  const auto user = users_.find(&stream);
  if (user == users_.end()) {
    drop_idle(stream);  // nobody has asked for anything
    return;
  }
  const std::uint64_t id = user->second;
  Call& call = *calls_.at(id);
  call.has_answer = true;
  Result<void> read = call.reader.read(bytes, call.body);
  if (!read.has_value()) {
    finish(id, std::unexpected(std::move(read.error())));
    return;
  }
  advance(id);
}

std::optional<Error> HttpClientCore::check_size(const Call& call) const {
  if (call.takes_lines && call.reader.status() == kStatusOk) {
    return std::nullopt;  // each line is looked at
  }
  const std::uint64_t size =
      std::max<std::uint64_t>(call.reader.length().value_or(0), call.body.size());
  if (size <= options_.reply_bytes_max) {
    return std::nullopt;
  }
  return Error{ErrorCode::kMessageTooBig,
               fmt::format("an answer of more than {} bytes", options_.reply_bytes_max)};
}

void HttpClientCore::advance(std::uint64_t id) {
  const auto keep_alive = shared_from_this();
  Call& call = *calls_.at(id);
  if (!call.reader.has_head()) {
    return;
  }
  if (auto error = check_size(call)) {
    finish(id, std::unexpected(std::move(*error)));
    return;
  }
  if (call.takes_lines && call.reader.status() == kStatusOk && !give_lines(id)) {
    return;
  }
  if (call.reader.is_done()) {
    HttpReply reply{.status = call.reader.status(),
                    .fields = call.reader.take_fields(),
                    .body = std::move(call.body)};
    finish(id, std::move(reply));
  }
}

bool HttpClientCore::give_lines(std::uint64_t id) {
  Call& call = *calls_.at(id);
  std::size_t given = 0;
  while (!call.is_paused && given < call.body.size()) {
    const std::size_t end = call.body.find('\n', given);
    std::string line = call.body.substr(given, end - given);
    if (line.size() > options_.line_bytes_max) {
      finish(id, fail(ErrorCode::kMessageTooBig,
                      fmt::format("a line of more than {} bytes", options_.line_bytes_max)));
      return false;
    }
    if (end == std::string::npos && !call.reader.is_done()) {
      break;
    }
    given = end == std::string::npos ? call.body.size() : end + 1;
    if (line.ends_with('\r')) {
      line.pop_back();
    }
    if (!line.empty() && !give_line(id, std::move(line))) {
      return false;
    }
  }
  call.body.erase(0, given);
  if (call.is_paused) {
    call.stream->pause();
    return false;
  }
  call.stream->resume();
  return true;
}

// The handler may end its call, or the client: what it runs in and what it reads are kept here.
bool HttpClientCore::give_line(std::uint64_t id, std::string line) {
  Call& call = *calls_.at(id);
  call.is_giving = true;
  auto on_line = std::move(call.on_line);
  const HttpFlow flow = on_line(line);
  if (!calls_.contains(id)) {
    return false;
  }
  call.is_giving = false;
  call.is_paused = flow == HttpFlow::kPause;
  call.on_line = std::move(on_line);
  return true;
}

void HttpClientCore::on_stream_end(DialledStream& stream, StreamEnd end, const std::string& why) {
  const auto user = users_.find(&stream);
  if (user == users_.end()) {
    drop_idle(stream);
    return;
  }
  const std::uint64_t id = user->second;
  Call& call = *calls_.at(id);
  if (call.is_kept && !call.has_answer) {
    ++sent_again_;
    users_.erase(user);
    dial(id, call);
    return;
  }
  Result<void> ended;
  if (end == StreamEnd::kOrderly) {
    ended = call.reader.end();
  } else {
    ended = fail(ErrorCode::kUnavailable, why);
  }
  if (!ended.has_value()) {
    finish(id, std::unexpected(std::move(ended.error())));
    return;
  }
  advance(id);
}

// — ends —

void HttpClientCore::finish(std::uint64_t id, Result<HttpReply> result) {
  const auto keep_alive = shared_from_this();
  const std::unique_ptr<Call> call = take_out(id, result.has_value());
  start_waiting();
  call->done(std::move(result));
}

std::unique_ptr<HttpClientCore::Call> HttpClientCore::take_out(std::uint64_t id,
                                                               bool keep_connection) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    return nullptr;
  }
  std::unique_ptr<Call> call = std::move(found->second);
  calls_.erase(found);
  call->timer.cancel();
  if (!call->stream) {
    std::erase(waiting_, id);
    return call;
  }
  users_.erase(call->stream.get());
  if (keep_connection && call->reader.keeps_connection() &&
      idle_.size() < options_.idle_connections_max) {
    idle_.push_back({call->stream, std::chrono::steady_clock::now()});
    arm_idle();
  } else {
    call->stream->close();
  }
  return call;
}

void HttpClientCore::drop_idle(const DialledStream& stream) {
  const auto found = std::ranges::find_if(
      idle_, [&stream](const Idle& idle) { return idle.stream.get() == &stream; });
  if (found != idle_.end()) {
    const Stream dropped = std::move(found->stream);
    idle_.erase(found);
    dropped->close();
  }
}

// The one that has waited longest is at the beginning.
void HttpClientCore::arm_idle() {
  if (is_idle_timer_armed_ || idle_.empty()) {
    return;
  }
  is_idle_timer_armed_ = true;
  idle_timer_.expires_at(idle_.front().since + options_.idle_timeout);
  idle_timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!self || error) {
      return;
    }
    self->is_idle_timer_armed_ = false;
    const auto now = std::chrono::steady_clock::now();
    while (!self->idle_.empty() && self->idle_.front().since + self->options_.idle_timeout <= now) {
      self->idle_.front().stream->close();
      self->idle_.erase(self->idle_.begin());
    }
    self->arm_idle();
  });
}

HttpClientStats HttpClientCore::stats() const {
  return {.in_flight = users_.size(),
          .waiting = waiting_.size(),
          .idle = idle_.size(),
          .dialled = dialled_,
          .sent_again = sent_again_};
}

}  // namespace trunkline::net
