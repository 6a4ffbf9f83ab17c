// SPDX-License-Identifier: Apache-2.0
#include "net/connection_http.h"

#include "net/upgrade.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <utility>

namespace trunkline::net {

namespace http = boost::beast::http;
namespace asio = boost::asio;

namespace {

constexpr std::string_view kWebSocketPath = "/connection/websocket";

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

HttpResponse plain(unsigned status, std::string text) {
  return {
      .status = status, .content_type = "text/plain", .body = std::move(text) + "\n", .fields = {}};
}

}  // namespace

void Connection::received_http(std::span<char> bytes) {
  http_->reader.add({bytes.data(), bytes.size()});
  if (http_->responding) {
    return;
  }
  if (const boost::system::error_code error = http_->reader.read()) {
    const bool large = error == http::error::header_limit || error == http::error::body_limit;
    http_->keep_alive = false;
    http_->responding = true;
    ++shard_.stats_.refused_handshakes;
    respond(plain(error == http::error::body_limit     ? 413
                  : error == http::error::header_limit ? 431
                                                       : 400,
                  large ? "request too large" : "not an HTTP request: " + error.message()));
    return;
  }
  if (http_->reader.is_done()) {
    handle_request();
  }
}

void Connection::handle_request() {
  const RequestReader::Message& message = http_->reader.message();
  http_->responding = true;
  http_->keep_alive = message.keep_alive();
  const std::string_view target = view(message.target());
  const std::size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  if (path == kWebSocketPath) {
    ask_admission();
    return;
  }
  HttpRequest request{
      .method = std::string(view(message.method_string())),
      .path = std::string(path),
      .query = question == std::string_view::npos ? "" : std::string(target.substr(question + 1)),
      .fields = {},
      .body = {}};
  for (const auto& field : message) {
    request.fields.emplace_back(view(field.name_string()), view(field.value()));
  }
  request.body = std::move(http_->reader.message().body());
  // No deadline while the answer is being made: it is our time, not the client's.
  deadline_ = TimePoint::max();
  arm_deadline();
  shard_.options_.http(shard_, std::move(request),
                       [&shard = shard_, id = id_](HttpResponse response) {
                         shard.respond(id, std::move(response));
                       });
}

void Connection::respond(HttpResponse response) {
  if (!http_ || !http_->responding || dropped_) {
    return;
  }
  const bool is_head =
      http_->reader.has_head() && http_->reader.message().method() == http::verb::head;
  const bool keep_alive = http_->keep_alive && !close_after_flush_;
  outbox_.push_reply(serialize(response, {.keep_alive = keep_alive, .with_body = !is_head}));
  want_flush();
  if (!keep_alive) {
    close_after_flush_ = true;
    deadline_ = shard_.environment_.now.monotonic + shard_.options_.close_timeout;
    arm_deadline();
    return;
  }
  http_->responding = false;
  http_->reader.begin();
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.keep_alive_timeout;
  arm_deadline();
  if (http_->reader.has_unread()) {
    // The next request has come already. By way of the loop, so that a long pipeline neither
    // recurses nor holds up others.
    ++operations_;
    asio::post(shard_.io(), [this] {
      --operations_;
      if (!dropped_ && http_ && !http_->responding) {
        received_http({});
        if (http_ && !http_->responding) {
          wait_readable();
        }
      }
    });
    return;
  }
  wait_readable();
}

void Connection::refuse_upgrade(const ws::HandshakeRefusal& refusal) {
  ++shard_.stats_.refused_handshakes;
  shard_.options_.log(
      fmt::format("a WebSocket handshake was refused ({}): {}", refusal.status, refusal.reason));
  HttpResponse response = plain(static_cast<unsigned>(refusal.status), refusal.reason);
  if (refusal.status == 426) {
    response.fields.emplace_back("Sec-WebSocket-Version", "13");
    response.fields.emplace_back("Upgrade", "websocket");
  }
  respond(std::move(response));
}

void Connection::upgrade() {
  const auto accepted = accept_upgrade(
      http_->reader.message(), {.allowed_origins = shard_.options_.session.client.allowed_origins,
                                .compression = shard_.options_.compression});
  if (!accepted.has_value()) {
    refuse_upgrade(accepted.error());
    return;
  }
  session::Fields kept =
      kept_fields(http_->reader.message(), shard_.options_.session.client.request_headers_kept);
  native_pings_ = accepted->native_pings;
  outbox_.push_reply(accepted->head);
  std::string unread = http_->reader.take_unread();
  http_.reset();
  deadline_ = TimePoint::max();
  arm_deadline();
  reader_.emplace(ws::Role::kServer,
                  ws::ReaderLimits{.message_bytes_max = shard_.options_.message_bytes_max});
  if (accepted->deflate.has_value()) {
    reader_->use_deflate(*accepted->deflate, shard_.scratch_);
    deflate_ =
        std::make_unique<ws::DeflateSender>(ws::Role::kServer, *accepted->deflate, shard_.scratch_);
  }
  session_ = std::make_unique<session::Session>(shard_.environment_, *this, std::move(kept));
  want_flush();
  if (!unread.empty()) {
    const std::size_t size = unread.size();
    unread.append(ws::kMessagePadding, '\0');
    received_frames({unread.data(), size});
  }
}

}  // namespace trunkline::net
