// SPDX-License-Identifier: Apache-2.0
//
// TLS for connections that others dial (RFC 8446, RFC 5246): bytes in, bytes out. The socket stays
// with its connection, which sends what is encrypted here as it sends anything else.
#pragma once

#include <trunkline/error.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::net {

// Files in PEM.
struct TlsOptions {
  std::string certificate_file;  // the server's, then those that lead to a root
  std::string key_file;
  // Not empty: a client must show a certificate that one of these has signed.
  std::string client_ca_file;
  // The oldest version that is spoken: "1.2" or "1.3".
  std::string min_version = "1.2";

  friend bool operator==(const TlsOptions&, const TlsOptions&) = default;
};

// A certificate and its rules; shared by connections, and replaced by another one when the files
// have changed: who has begun with the old one goes on with it.
// Thread: any, after load().
class TlsContext {
 public:
  // Reads the files. Errors: kConfig with the file and the reason.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> load(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsStream;
  struct Handle;
  explicit TlsContext(std::unique_ptr<Handle> handle);

  std::unique_ptr<Handle> handle_;
};

// One connection's. Thread: owning shard.
class TlsStream {
 public:
  // The peer dials: it begins. The context stays as long as the stream.
  explicit TlsStream(std::shared_ptr<const TlsContext> context);
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
  void collect();

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<Handle> handle_;
  std::string pending_;
  std::size_t sent_ = 0;
  bool closed_ = false;
};

}  // namespace trunkline::net
