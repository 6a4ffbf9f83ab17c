// SPDX-License-Identifier: Apache-2.0
#include "net/grid_wire.h"

#include <trunkline/client.h>
#include <trunkline/grid.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trunkline::net {

namespace {

// A record of TLS, and a few of them in one call.
constexpr std::size_t kRecordBytes = 16UL * 1024;
constexpr std::size_t kEncryptBytes = 4 * kRecordBytes;

}  // namespace

Result<GridCertificates> GridCertificates::load(const GridOptions& options) {
  const GridTlsOptions& tls = options.tls;
  if (tls == GridTlsOptions{}) {
    return GridCertificates{};
  }
  if (tls.ca_file.empty()) {
    return fail(ErrorCode::kConfig, "tls.ca_file is needed: who may have signed certificates");
  }
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return fail(ErrorCode::kConfig, "tls.certificate_file and tls.key_file are given together");
  }
  if (tls.certificate_file.empty() && !options.is_guest) {
    return fail(ErrorCode::kConfig, "tls.certificate_file is needed by all but guests");
  }
  GridCertificates certificates;
  certificates.are_peers_asked = tls.asks_for_certificates;
  if (!tls.certificate_file.empty()) {
    auto accepting =
        TlsContext::load({.certificate_file = tls.certificate_file,
                          .key_file = tls.key_file,
                          .client_ca_file = tls.asks_for_certificates ? tls.ca_file : std::string(),
                          .names = {.certificate = "tls.certificate_file",
                                    .key = "tls.key_file",
                                    .client_ca = "tls.ca_file"}});
    if (!accepting.has_value()) {
      return std::unexpected(accepting.error());
    }
    certificates.accepting = std::move(*accepting);
  }
  ClientTlsOptions client;
  client.ca_file = tls.ca_file;
  client.certificate_file = tls.certificate_file;
  client.key_file = tls.key_file;
  auto dialling = TlsContext::load_client(client);
  if (!dialling.has_value()) {
    return std::unexpected(dialling.error());
  }
  certificates.dialling = std::move(*dialling);
  return certificates;
}

std::string_view host_of(std::string_view name) {
  if (name.starts_with('[')) {
    return name.substr(1, name.find(']') - 1);
  }
  const std::size_t colon = name.rfind(':');
  // More than one without brackets: an address and no port.
  return colon == name.find(':') ? name.substr(0, colon) : name;
}

void GridWire::accept_tls(std::shared_ptr<const TlsContext> context) {
  tls_ = std::make_unique<TlsStream>(std::move(context));
}

Result<void> GridWire::dial_tls(const std::shared_ptr<const TlsContext>& context,
                                std::string_view host) {
  Result<std::unique_ptr<TlsStream>> stream = TlsStream::dial(context, host);
  if (!stream.has_value()) {
    return std::unexpected(stream.error());
  }
  tls_ = std::move(*stream);
  return {};
}

const std::string& GridWire::failure() const {
  static const std::string kNone;
  return tls_ != nullptr ? tls_->failure() : kNone;
}

std::size_t GridWire::take(std::span<char> into) {
  const std::size_t count = std::min(into.size(), received_.size() - taken_);
  std::memcpy(into.data(), received_.data() + taken_, count);
  taken_ += count;
  if (taken_ == received_.size()) {
    received_ = {};  // most connections are idle most of the time
    taken_ = 0;
  }
  return count;
}

ssize_t GridWire::receive(std::span<char> into) {
  if (tls_ == nullptr) {
    return ::recv(descriptor_, into.data(), into.size(), 0);
  }
  ssize_t got = 0;
  while (!has_ended_ && received_.size() - taken_ < into.size()) {
    std::array<char, kRecordBytes> encrypted;
    got = ::recv(descriptor_, encrypted.data(), encrypted.size(), 0);
    if (got <= 0) {
      break;
    }
    decrypt(std::span(encrypted).first(static_cast<std::size_t>(got)));
  }
  const int why = errno;
  static_cast<void>(flush());  // an answer, or why it ends; what is blocked is sent later
  if (holds_received()) {
    return static_cast<ssize_t>(take(into));
  }
  errno = has_ended_ ? EPROTO : why;
  if (has_ended_) {
    return failure().empty() ? 0 : -1;
  }
  return got;
}

void GridWire::decrypt(std::span<const char> bytes) {
  std::array<char, kRecordBytes> plain;
  has_ended_ = !tls_->receive(bytes, plain, [this](std::span<char> piece) {
    received_.append(piece.data(), piece.size());
    return true;
  });
}

// What the socket took; -1 and EAGAIN when it took nothing.
ssize_t GridWire::flush() {
  ssize_t all = 0;
  while (holds_unsent()) {
    const std::string_view pending = tls_->pending();
    const ssize_t sent =
        ::send(descriptor_, pending.data(), pending.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent < 0) {
      return all > 0 ? all : -1;
    }
    tls_->sent(static_cast<std::size_t>(sent));
    all += sent;
  }
  return all;
}

ssize_t GridWire::send(std::string_view bytes) {
  if (tls_ == nullptr) {
    return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  if (flush() < 0) {
    return -1;
  }
  if (holds_unsent() || bytes.empty()) {
    return 0;
  }
  if (!tls_->is_open()) {
    errno = EINPROGRESS;
    return -1;
  }
  const std::string_view piece = bytes.substr(0, kEncryptBytes);
  if (!tls_->encrypt(std::span(&piece, 1))) {
    errno = EPIPE;
    return -1;
  }
  if (flush() < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
    return -1;
  }
  return static_cast<ssize_t>(piece.size());
}

void GridWire::finish() {
  if (tls_ != nullptr) {
    tls_->close();
    static_cast<void>(flush());
  }
}

bool GridWire::is_peer_certified_for(std::string_view host) const {
  return tls_ != nullptr && tls_->is_peer_certified_for(host);
}

}  // namespace trunkline::net
