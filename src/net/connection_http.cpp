// SPDX-License-Identifier: Apache-2.0
#include "net/connection_http.h"

#include "ws/handshake.h"

#include <boost/asio/buffer.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace trunkline::net {

namespace http = boost::beast::http;
namespace asio = boost::asio;

namespace {

constexpr std::string_view kWebSocketPath = "/connection/websocket";
constexpr std::array<std::string_view, 1> kSubprotocols = {"centrifuge-json"};

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Whether one of the query's parameters is this one.
bool has_parameter(std::string_view query, std::string_view parameter) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    if (query.substr(0, end) == parameter) {
      return true;
    }
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
  }
  return false;
}

// A field that is a list may come in several lines, which read as one (RFC 9110, section 5.3).
std::string list_field(const http::request<http::string_body>& message, http::field name) {
  std::string joined;
  const auto [first, last] = message.equal_range(name);
  for (auto line = first; line != last; ++line) {
    joined += joined.empty() ? "" : ", ";
    joined += view(line->value());
  }
  return joined;
}

HttpResponse plain(unsigned status, std::string text) {
  return {
      .status = status, .content_type = "text/plain", .body = std::move(text) + "\n", .fields = {}};
}

}  // namespace

void Connection::received_http(std::span<char> bytes) {
  http_->unread.append(bytes.data(), bytes.size());
  if (http_->responding) {
    return;
  }
  boost::system::error_code error;
  std::size_t used = 0;
  while (used < http_->unread.size() && !http_->parser->is_done()) {
    const std::size_t took = http_->parser->put(
        asio::buffer(http_->unread.data() + used, http_->unread.size() - used), error);
    used += took;
    if (error || took == 0) {
      break;
    }
  }
  http_->unread.erase(0, used);
  if (error && error != http::error::need_more) {
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
  if (http_->parser->is_done()) {
    handle_request();
  }
}

void Connection::handle_request() {
  const auto& message = http_->parser->get();
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
  request.body = std::move(http_->parser->get().body());
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
      http_->parser->is_header_done() && http_->parser->get().method() == http::verb::head;
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
  http_->begin();
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.keep_alive_timeout;
  arm_deadline();
  if (!http_->unread.empty()) {
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

bool Connection::is_origin_allowed(std::string_view origin, std::string_view host) const {
  if (origin.empty()) {
    return true;
  }
  // The page that this server itself has served.
  const std::size_t authority = origin.find("://");
  if (authority != std::string_view::npos && origin.substr(authority + 3) == host) {
    return true;
  }
  return std::ranges::any_of(
      shard_.options_.session.client.allowed_origins,
      [origin](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

void Connection::refuse_upgrade(unsigned status, std::string reason) {
  ++shard_.stats_.refused_handshakes;
  shard_.options_.log(fmt::format("a WebSocket handshake was refused ({}): {}", status, reason));
  HttpResponse response = plain(status, std::move(reason));
  if (status == 426) {
    response.fields.emplace_back("Sec-WebSocket-Version", "13");
    response.fields.emplace_back("Upgrade", "websocket");
  }
  respond(std::move(response));
}

void Connection::upgrade() {
  const auto& message = http_->parser->get();
  const std::string_view target = view(message.target());
  const std::size_t question = target.find('?');
  const std::string_view query =
      question == std::string_view::npos ? std::string_view{} : target.substr(question + 1);
  const auto field = [&message](http::field name) { return view(message[name]); };
  if (has_parameter(query, "cf_protocol=protobuf") || has_parameter(query, "format=protobuf")) {
    refuse_upgrade(400, "the Protobuf format is not spoken here yet; connect without it for JSON");
    return;
  }
  native_pings_ = has_parameter(query, "cf_ws_frame_ping_pong=true");
  const std::string_view origin = field(http::field::origin);
  if (!is_origin_allowed(origin, field(http::field::host))) {
    refuse_upgrade(403, fmt::format("origin '{}' is not in client.allowed_origins", origin));
    return;
  }
  const std::string upgrade = list_field(message, http::field::upgrade);
  const std::string connection = list_field(message, http::field::connection);
  const std::string subprotocols = list_field(message, http::field::sec_websocket_protocol);
  const ws::HandshakeRequest request{
      .method = view(message.method_string()),
      .http_version = message.version(),
      .host = field(http::field::host),
      .upgrade = upgrade,
      .connection = connection,
      .sec_websocket_key = field(http::field::sec_websocket_key),
      .sec_websocket_version = field(http::field::sec_websocket_version),
      .sec_websocket_protocol = subprotocols};
  const auto response = ws::accept_handshake(request, {kSubprotocols.begin(), kSubprotocols.end()});
  const std::string_view offered = request.sec_websocket_protocol;
  if (response.has_value() && response->subprotocol.empty() &&
      offered.find("centrifuge-protobuf") != std::string_view::npos) {
    // Without a subprotocol in the answer the client would read JSON as Protobuf.
    refuse_upgrade(400, "the Protobuf format is not spoken here yet; offer centrifuge-json");
    return;
  }
  if (!response.has_value()) {
    refuse_upgrade(static_cast<unsigned>(response.error().status), response.error().reason);
    return;
  }
  std::string head = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n",
      response->accept);
  if (!response->subprotocol.empty()) {
    head += fmt::format("Sec-WebSocket-Protocol: {}\r\n", response->subprotocol);
  }
  std::optional<ws::DeflateAgreement> deflate;
  if (shard_.options_.compression) {
    auto agreed = ws::accept_deflate(
        list_field(message, http::field::sec_websocket_extensions),
        {.server_no_context_takeover = true, .client_no_context_takeover = true});
    if (!agreed.has_value()) {
      refuse_upgrade(400, agreed.error().context);
      return;
    }
    deflate = std::move(*agreed);
  }
  if (deflate.has_value()) {
    head += fmt::format("Sec-WebSocket-Extensions: {}\r\n", deflate->answer);
  }
  outbox_.push_reply(head + "\r\n");
  std::string unread = std::move(http_->unread);
  http_.reset();
  deadline_ = TimePoint::max();
  arm_deadline();
  reader_.emplace(ws::Role::kServer,
                  ws::ReaderLimits{.message_bytes_max = shard_.options_.message_bytes_max});
  if (deflate.has_value()) {
    reader_->use_deflate(deflate->parameters, shard_.scratch_);
    deflate_ = std::make_unique<ws::DeflateSender>(ws::Role::kServer, deflate->parameters,
                                                   shard_.scratch_);
  }
  session_ = std::make_unique<session::Session>(shard_.environment_, *this);
  want_flush();
  if (!unread.empty()) {
    const std::size_t size = unread.size();
    unread.append(ws::kMessagePadding, '\0');
    received_frames({unread.data(), size});
  }
}

}  // namespace trunkline::net
