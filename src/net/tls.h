// SPDX-License-Identifier: Apache-2.0
//
// TLS (RFC 8446, RFC 5246) in both roles: bytes in, bytes out. The socket stays with its
// connection, which sends what is encrypted here as it sends anything else.
#pragma once

#include <trunkline/error.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline {
struct ClientTlsOptions;
}  // namespace trunkline

namespace trunkline::net {

// What errors call the options of a server.
struct TlsOptionNames {
  std::string certificate = "http_server.tls.cert_pem_file";
  std::string key = "http_server.tls.key_pem_file";
  std::string client_ca = "http_server.tls.client_ca_pem_file";

  friend bool operator==(const TlsOptionNames&, const TlsOptionNames&) = default;
};

// Of a server. Files in PEM.
struct TlsOptions {
  std::string certificate_file;  // the server's, then those that lead to a root
  std::string key_file;
  // Not empty: a client must show a certificate that one of these has signed.
  std::string client_ca_file;
  // The oldest version that is spoken: "1.2" or "1.3".
  std::string min_version = "1.2";
  TlsOptionNames names{};

  friend bool operator==(const TlsOptions&, const TlsOptions&) = default;
};

// A certificate and its rules; shared by connections, and replaced by another one when the files
// have changed: who has begun with the old one goes on with it.
// Thread: any, after load().
class TlsContext {
 public:
  // Server role. Reads the files. Errors: kConfig with the file and the reason.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> load(const TlsOptions& options);
  // Client role. Reads the files, or opens the system's store. Errors: kConfig with the file and
  // the reason, also for options that contradict each other.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> load_client(
      const ClientTlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsStream;
  struct Handle;
  explicit TlsContext(std::unique_ptr<Handle> handle);

  std::unique_ptr<Handle> handle_;
};

// One connection's. Thread: owning shard, or client loop.
class TlsStream {
 public:
  // Server role: the peer dials and begins. The context stays as long as the stream.
  explicit TlsStream(std::shared_ptr<const TlsContext> context);
  // Client role: begins, what it says first is pending. `host` is the name or address that was
  // dialled: unless the context verifies nothing, the certificate must be trusted and have it among
  // its subjectAltNames (RFC 6125; its subject's common name does not count). Error:
  // kInvalidArgument for what can be neither a name nor an address.
  [[nodiscard]] static Result<std::unique_ptr<TlsStream>> dial(
      std::shared_ptr<const TlsContext> context, std::string_view host);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Takes what came from the socket and hands on what it says, in pieces of at most the buffer's
  // size, each at the buffer's beginning. The piece may be written to; `take` returns false to have
  // the rest dropped. What is due in answer waits in pending(). False: the peer has ended the
  // stream, in order or by something that is not TLS; an alert may be pending.
  [[nodiscard]] bool receive(std::span<const char> bytes, std::span<char> buffer,
                             const std::function<bool(std::span<char>)>& take);

  // The handshake is over: encrypt() may be called.
  [[nodiscard]] bool is_open() const;
  // Encrypts all of it, in this order, behind what is pending. False: it can not any more.
  [[nodiscard]] bool encrypt(std::span<const std::string_view> spans);

  // Whether the peer has shown a certificate that has the name or address among its
  // subjectAltNames. Who has signed it was looked at in the handshake.
  [[nodiscard]] bool is_peer_certified_for(std::string_view host) const;

  // Why receive() has returned false, in words: what is wrong and what helps. Empty: the peer has
  // ended the stream in order (close_notify).
  [[nodiscard]] const std::string& failure() const { return failure_; }

  // The last thing that is said (close_notify); once.
  void close();

  // For the socket. Valid until the next call of anything else.
  [[nodiscard]] std::string_view pending() const {
    return std::string_view(pending_).substr(sent_);
  }

  // The socket took so much of it.
  void sent(std::size_t bytes);

 private:
  struct Handle;
  enum class Role : std::uint8_t { kServer, kClient };

  TlsStream(std::shared_ptr<const TlsContext> context, Role role);
  void collect();
  [[nodiscard]] std::string describe_failure() const;

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<Handle> handle_;
  std::string pending_;
  std::string failure_;
  std::size_t sent_ = 0;
  bool closed_ = false;
};

}  // namespace trunkline::net
