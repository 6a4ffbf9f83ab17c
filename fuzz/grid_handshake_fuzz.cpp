// SPDX-License-Identifier: Apache-2.0
//
// What anybody who reaches the port may send before it has proven anything: both roles of the
// handshake must answer it with a refusal or go on waiting, never take it for a proof, and never
// crash.
#include "event_recorder.h"
#include "grid/handshake.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using namespace trunkline::grid;
using trunkline::fuzz::require;

// What can be read can be written, and is the same again.
void read_and_write(std::string_view message) {
  if (const auto hello = decode_hello(message); hello.has_value()) {
    require(decode_hello(encode(*hello)) == *hello);
  }
  if (const auto proof = decode_proof(message); proof.has_value()) {
    require(decode_proof(encode(HandshakeType::kProof, *proof)) == *proof);
  }
  if (const auto refusal = decode_refusal(message); refusal.has_value()) {
    const auto again = decode_refusal(encode(*refusal));
    require(again.has_value() && again->code == refusal->code && again->text == refusal->text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) {
    return 0;
  }
  Identity identity;
  identity.name = "node:1";
  identity.instance.fill(1);
  identity.secret = "sixteen bytes or more";
  const trunkline::Now now{trunkline::TimePoint{}, trunkline::WallTime{}};
  Nonce nonce{};
  nonce.fill(7);
  const bool dials = (data[0] & 1U) != 0;
  Handshake handshake(identity, dials ? Side::kDialler : Side::kAcceptor, "", nonce);
  if (dials) {
    static_cast<void>(handshake.start(now));
  }
  // Messages, each behind its length. The first one also with everything behind it: two names of
  // 255 bytes make it longer than that.
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  read_and_write(rest.substr(std::min<std::size_t>(1, rest.size())));
  while (rest.size() > 1) {
    const std::size_t length = static_cast<unsigned char>(rest[0]);
    const std::string_view message = rest.substr(1, length);
    rest.remove_prefix(1 + message.size());
    static_cast<void>(handshake.on_message(message, now));
    // Who does not know the secret proves nothing.
    require(handshake.state() == Handshake::State::kWaiting ||
            handshake.state() == Handshake::State::kRefused);
  }
  return 0;
}
