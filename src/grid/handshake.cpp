// SPDX-License-Identifier: Apache-2.0
#include "grid/handshake.h"

#include "core/assert.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::grid {

namespace {

bool are_workable(const PeerLimits& limits) {
  return limits.frame_bytes_max >= kFrameBytesMin && limits.frame_bytes_max <= kFrameBytesBound &&
         limits.calls_max > 0 && limits.stream_window >= kStreamWindowMin &&
         limits.connection_window >= kConnectionWindowMin;
}

}  // namespace

Handshake::Handshake(const Identity& identity, Side side, std::string peer, const Nonce& nonce)
    : identity_(identity), side_(side), expected_(std::move(peer)), nonce_(nonce) {}

std::string Handshake::start(Now now) {
  TRUNKLINE_ASSERT(side_ == Side::kDialler && own_hello_.empty());
  return make_hello(now);
}

std::string Handshake::make_hello(Now now) {
  Hello hello;
  hello.features = kFeatureChecksum | (identity_.wants_checksum ? kFeatureWantsChecksum : 0U) |
                   (identity_.is_guest ? kFeatureGuest : 0U);
  hello.instance = identity_.instance;
  hello.time = now.wall;
  hello.nonce = nonce_;
  hello.limits = identity_.limits;
  hello.name = identity_.name;
  hello.peer = expected_;
  own_hello_ = encode(hello);
  return own_hello_;
}

std::string Handshake::on_message(std::string_view message, Now now) {
  if (state_ == State::kRefused || state_ == State::kDone) {
    return {};
  }
  const bool has_hello = !peer_hello_.empty();
  const auto type = static_cast<HandshakeType>(type_of(message));
  const auto proof = side_ == Side::kAcceptor ? HandshakeType::kProof : HandshakeType::kWelcome;
  if (type == HandshakeType::kRefused) {
    Result<Refusal> refusal = decode_refusal(message);
    state_ = State::kRefused;
    is_refused_by_peer_ = true;
    refusal_ = refusal.has_value() ? std::move(*refusal)
                                   : Refusal{RefusalCode::kMalformed, refusal.error().context};
    return {};
  }
  if (type == HandshakeType::kHello && !has_hello) {
    return on_hello(message, now);
  }
  if (type == proof && has_hello && state_ == State::kWaiting) {
    return on_proof(message);
  }
  return refuse({RefusalCode::kMalformed,
                 fmt::format("a message of type {} where none is due", type_of(message))});
}

std::string Handshake::on_hello(std::string_view message, Now now) {
  const Result<Hello> hello = decode_hello(message);
  if (!hello.has_value()) {
    return refuse({RefusalCode::kMalformed, hello.error().context});
  }
  RefusalCode code = RefusalCode::kMalformed;
  if (const Result<void> checked = check_peer(*hello, now, code); !checked.has_value()) {
    return refuse({code, checked.error().context});
  }
  peer_hello_ = message;
  agreement_.peer = hello->name;
  agreement_.instance = hello->instance;
  agreement_.version = std::min(kWireVersion, hello->version_max);
  agreement_.checksum =
      (hello->features & kFeatureChecksum) != 0 &&
      (identity_.wants_checksum || (hello->features & kFeatureWantsChecksum) != 0);
  agreement_.is_guest = (hello->features & kFeatureGuest) != 0;
  agreement_.peer_limits = hello->limits;
  agreement_.skew = std::chrono::milliseconds(
      static_cast<std::int64_t>(static_cast<std::uint64_t>(hello->time.time_since_epoch().count()) -
                                static_cast<std::uint64_t>(now.wall.time_since_epoch().count())));
  if (side_ == Side::kAcceptor) {
    return make_hello(now);
  }
  return encode(HandshakeType::kProof,
                prove(HandshakeType::kProof, identity_.secret, dialler_hello(), acceptor_hello()));
}

Result<void> Handshake::check_peer(const Hello& hello, Now now, RefusalCode& code) {
  const auto no = [&code](RefusalCode why, std::string text) {
    code = why;
    return fail(ErrorCode::kHandshakeRefused, std::move(text));
  };
  if (hello.version_min > kWireVersion || hello.version_max < kWireVersion) {
    return no(RefusalCode::kVersion,
              fmt::format("version {} is spoken here, the peer speaks {} to {}", kWireVersion,
                          hello.version_min, hello.version_max));
  }
  if (hello.name == identity_.name) {
    return no(RefusalCode::kName, fmt::format("this node itself is called '{}'", hello.name));
  }
  if (!expected_.empty() && hello.name != expected_) {
    return no(RefusalCode::kName,
              fmt::format("'{}' was dialled, and '{}' is there", expected_, hello.name));
  }
  if (!hello.peer.empty() && hello.peer != identity_.name) {
    return no(RefusalCode::kName,
              fmt::format("'{}' was dialled, and '{}' is here", hello.peer, identity_.name));
  }
  if (hello.nonce == nonce_) {
    return no(RefusalCode::kSecret, "this node's own nonce came back");
  }
  // In whole numbers that cannot overflow, whatever the peer says.
  const auto ours = now.wall.time_since_epoch().count();
  const auto theirs = hello.time.time_since_epoch().count();
  const std::uint64_t apart =
      ours > theirs ? static_cast<std::uint64_t>(ours) - static_cast<std::uint64_t>(theirs)
                    : static_cast<std::uint64_t>(theirs) - static_cast<std::uint64_t>(ours);
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(identity_.skew_max);
  if (identity_.skew_max > Duration::zero() && apart > static_cast<std::uint64_t>(limit.count())) {
    return no(RefusalCode::kSkew,
              fmt::format("the clocks are {} ms apart, {} ms are allowed", apart, limit.count()));
  }
  if (!are_workable(hello.limits)) {
    return no(RefusalCode::kLimits,
              fmt::format("limits of the peer: frame {}, calls {}, windows {} and {}",
                          hello.limits.frame_bytes_max, hello.limits.calls_max,
                          hello.limits.stream_window, hello.limits.connection_window));
  }
  return {};
}

std::string Handshake::on_proof(std::string_view message) {
  const Result<Proof> said = decode_proof(message);
  if (!said.has_value()) {
    return refuse({RefusalCode::kMalformed, said.error().context});
  }
  const auto type = side_ == Side::kAcceptor ? HandshakeType::kProof : HandshakeType::kWelcome;
  if (!is_same(*said, prove(type, identity_.secret, dialler_hello(), acceptor_hello()))) {
    return refuse({RefusalCode::kSecret, fmt::format("'{}' does not know the secret of '{}'",
                                                     agreement_.peer, identity_.name)});
  }
  state_ = side_ == Side::kAcceptor ? State::kProven : State::kDone;
  return {};
}

std::string Handshake::accept() {
  TRUNKLINE_ASSERT(state_ == State::kProven);
  state_ = State::kDone;
  return encode(HandshakeType::kWelcome, prove(HandshakeType::kWelcome, identity_.secret,
                                               dialler_hello(), acceptor_hello()));
}

std::string Handshake::refuse(Refusal refusal) {
  TRUNKLINE_ASSERT(state_ == State::kWaiting || state_ == State::kProven);
  state_ = State::kRefused;
  refusal_ = std::move(refusal);
  return encode(refusal_);
}

std::string_view Handshake::dialler_hello() const {
  return side_ == Side::kDialler ? own_hello_ : peer_hello_;
}

std::string_view Handshake::acceptor_hello() const {
  return side_ == Side::kDialler ? peer_hello_ : own_hello_;
}

}  // namespace trunkline::grid
