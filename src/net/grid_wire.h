// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one connection of the grid: a socket's, or under TLS what the socket carries. With
// TLS both sides show who they are, as far as they are asked to.
#pragma once

#include <trunkline/error.h>

#include "net/tls.h"

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline {
struct GridOptions;
}  // namespace trunkline

namespace trunkline::net {

// A node's certificates, in both roles; both null: the grid is not encrypted.
struct GridCertificates {
  std::shared_ptr<const TlsContext> accepting;
  std::shared_ptr<const TlsContext> dialling;
  bool are_peers_asked = false;  // for theirs

  // Errors: kConfig with the option that cannot be.
  [[nodiscard]] static Result<GridCertificates> load(const GridOptions& options);
};

// The host of a node's name: "host:port", "[address]:port", or what has no port.
[[nodiscard]] std::string_view host_of(std::string_view name);

// As recv(2) and send(2) of a socket that does not block, also in what they return and in errno.
// Thread: one at a time.
class GridWire {
 public:
  // Does not own the descriptor.
  void attach(int descriptor) { descriptor_ = descriptor; }

  // From now on it is TLS, in the acceptor's role.
  void accept_tls(std::shared_ptr<const TlsContext> context);
  // … in the dialler's: the peer's certificate must be for the host. Errors: kInvalidArgument.
  [[nodiscard]] Result<void> dial_tls(const std::shared_ptr<const TlsContext>& context,
                                      std::string_view host);

  // Also sends what TLS has to say. EPROTO: failure() says why.
  [[nodiscard]] ssize_t receive(std::span<char> into);
  // EINPROGRESS: TLS is not there yet; receive() brings it. What it has taken may still be
  // pending; with nothing to send it sends that.
  [[nodiscard]] ssize_t send(std::string_view bytes);

  // There is something to receive() although the socket has nothing.
  [[nodiscard]] bool holds_received() const { return taken_ < received_.size(); }

  // send() has something to do although everything was given to it.
  [[nodiscard]] bool holds_unsent() const { return tls_ != nullptr && !tls_->pending().empty(); }

  [[nodiscard]] bool is_tls() const { return tls_ != nullptr; }

  // Nothing is sent after it: says so, in TLS.
  void finish();

  [[nodiscard]] const std::string& failure() const;

  // Whether the peer's certificate is for the host; false when it has shown none.
  [[nodiscard]] bool is_peer_certified_for(std::string_view host) const;

 private:
  [[nodiscard]] ssize_t flush();
  void decrypt(std::span<const char> bytes);
  std::size_t take(std::span<char> into);

  int descriptor_ = -1;
  std::unique_ptr<TlsStream> tls_;
  std::string received_;  // decrypted, and not taken yet
  std::size_t taken_ = 0;
  bool has_ended_ = false;  // the peer's side of TLS, in order or not
};

}  // namespace trunkline::net
