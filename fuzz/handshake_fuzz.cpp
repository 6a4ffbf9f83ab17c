// SPDX-License-Identifier: Apache-2.0
//
// Opening handshakes from anywhere. The first byte chooses whose side is tried: the server reading
// a request, the client making one, or the client reading an answer; the second how bytes are cut.
#include "net/upgrade.h"
#include "ws/deflate_offer.h"
#include "ws/handshake.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

namespace http = boost::beast::http;
namespace net = trunkline::net;
namespace ws = trunkline::ws;

constexpr std::string_view kEnd = "\r\n\r\n";
constexpr std::string_view kNonce = "sixteen bytes 16";
constexpr std::uint64_t kBodyBytesMax = 1000;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// One field after the other, of what the fuzzer made up.
std::string_view next_field(std::string_view& rest) {
  const std::string_view field = rest.substr(0, rest.find('\x1F'));
  rest.remove_prefix(std::min(rest.size(), field.size() + 1));
  return field;
}

struct Outcome {
  std::string error;
  bool done = false;
  std::string request;  // as it was understood
  std::string unread;
};

Outcome read(net::RequestReader& reader, std::string_view bytes, std::size_t piece) {
  Outcome outcome;
  while (!bytes.empty() && outcome.error.empty()) {
    reader.add(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    if (const boost::system::error_code error = reader.read()) {
      outcome.error = error.message();
    }
  }
  outcome.done = outcome.error.empty() && reader.is_done();
  if (outcome.done) {
    const auto& message = reader.message();
    outcome.request = message.method_string();
    outcome.request += view(message.target());
    for (const auto& field : message) {
      outcome.request += view(field.name_string());
      outcome.request += ':';
      outcome.request += view(field.value());
      outcome.request += '\n';
    }
    outcome.request += message.body();
    outcome.unread = reader.take_unread();
  }
  return outcome;
}

void check_refusal(const ws::HandshakeRefusal& refusal) {
  constexpr std::array kStatuses = {400, 403, 405, 426};
  require(std::ranges::count(kStatuses, refusal.status) == 1);
  require(!refusal.reason.empty() && !refusal.reason.contains('\n'));
}

void check_upgrade(const net::RequestReader::Message& message, const net::Upgrade& upgrade) {
  require(message.method() == http::verb::get && message.version() >= 11);
  require(upgrade.head.starts_with("HTTP/1.1 101 "));
  // Nothing of the request may have ended a line or the answer.
  require(upgrade.head.find(kEnd) == upgrade.head.size() - kEnd.size());
  const auto lines = std::ranges::count(upgrade.head, '\n');
  require(lines >= 5 && lines <= 7);
  std::string_view key = view(message[http::field::sec_websocket_key]);
  require(upgrade.head.contains(ws::accept_key(key)));
  require(upgrade.deflate.has_value() == upgrade.head.contains("permessage-deflate"));
  if (upgrade.deflate.has_value()) {
    require(upgrade.deflate->server_no_context_takeover);
    require(upgrade.deflate->server_max_window_bits <= ws::kWindowBitsMax &&
            upgrade.deflate->client_max_window_bits <= ws::kWindowBitsMax);
  }
}

// However a request is cut, it is the same one; and it is answered by the rules.
void try_request(std::string_view bytes, std::size_t piece) {
  static const std::vector<std::string> kOrigins = {"https://example.org"};
  net::RequestReader reader(kBodyBytesMax);
  const Outcome whole = read(reader, bytes, bytes.size() + 1);
  net::RequestReader cut_reader(kBodyBytesMax);
  const Outcome cut = read(cut_reader, bytes, piece);
  // Of half a request one may know sooner than the other that it is none.
  require(whole.done == cut.done && whole.request == cut.request);
  if (!whole.done) {
    return;
  }
  for (const bool compression : {false, true}) {
    const auto upgrade = net::accept_upgrade(
        reader.message(), {.allowed_origins = kOrigins, .compression = compression});
    if (upgrade.has_value()) {
      check_upgrade(reader.message(), *upgrade);
    } else {
      check_refusal(upgrade.error());
    }
  }
}

// What a client makes of any fields is either refused here or one request, with just those fields.
void try_make_request(std::string_view rest) {
  ws::ClientHandshake handshake;
  handshake.host = next_field(rest);
  handshake.target = next_field(rest);
  handshake.origin = next_field(rest);
  handshake.extensions = next_field(rest);
  while (!rest.empty() && handshake.subprotocols.size() < 8) {
    handshake.subprotocols.emplace_back(next_field(rest));
  }
  const auto request = ws::make_request(handshake, kNonce);
  if (!request.has_value()) {
    return;
  }
  require(request->find(kEnd) == request->size() - kEnd.size());
  net::RequestReader reader(kBodyBytesMax);
  const Outcome read_back = read(reader, *request, request->size());
  // Beast is stricter than RFC 9112 about a few characters.
  if (read_back.done) {
    require(read_back.unread.empty());
    require(view(reader.message().target()) == handshake.target);
    require(view(reader.message()[http::field::host]) == handshake.host);
    require(reader.message().body().empty());
  }
}

// A client takes an answer only with its own key's proof, and a subprotocol that it offered.
void try_reply(std::string_view rest) {
  const ws::ClientHandshake handshake{.host = "example.org",
                                      .target = "/",
                                      .subprotocols = {"one", "two"},
                                      .origin = {},
                                      .extensions = ws::offer_deflate({})};
  const auto request = ws::make_request(handshake, kNonce);
  require(request.has_value());
  net::RequestReader reader(0);
  require(read(reader, *request, request->size()).done);
  const std::string proof = ws::accept_key(view(reader.message()[http::field::sec_websocket_key]));
  const std::string_view status = next_field(rest);
  const std::string_view upgrade = next_field(rest);
  const std::string_view connection = next_field(rest);
  const std::string_view accept = next_field(rest);
  const std::string_view subprotocol = next_field(rest);
  const bool is_proof = accept == "proof";
  const auto chosen = ws::check_reply(handshake, kNonce,
                                      {.status = status == "101" ? 101 : 200,
                                       .upgrade = upgrade,
                                       .connection = connection,
                                       .sec_websocket_accept = is_proof ? proof : accept,
                                       .sec_websocket_protocol = subprotocol,
                                       .sec_websocket_extensions = rest});
  if (chosen.has_value()) {
    require(is_proof || accept.contains(proof));
    require(chosen->empty() || *chosen == "one" || *chosen == "two");
  }
  const auto deflate = ws::check_deflate_answer(rest, {});
  if (deflate.has_value() && deflate->has_value()) {
    require((*deflate)->server_max_window_bits >= ws::kWindowBitsMin &&
            (*deflate)->client_max_window_bits >= ws::kWindowBitsMin);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0] % 3) {
    case 0:
      try_request(rest, 1 + data[1] % 64);
      break;
    case 1:
      try_make_request(rest);
      break;
    default:
      try_reply(rest);
  }
  return 0;
}
