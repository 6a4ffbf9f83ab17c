// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include "core/assert.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <climits>
#include <utility>

namespace trunkline::net {

namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

// The oldest error that OpenSSL has on this thread says what began it.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "not usable" : reason;
}

std::unexpected<Error> bad_file(std::string_view option, const std::string& file) {
  return fail(ErrorCode::kConfig,
              fmt::format("http_server.tls.{}: {}: {}", option, file, openssl_reason()));
}

// HTTP/1.1 is what is spoken; a client that offers others only is told so by the handshake's end.
int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void* /*argument*/) {
  static constexpr std::array<unsigned char, 9> kOurs = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  const int result =
      SSL_select_next_proto(&chosen, out_size, kOurs.data(), kOurs.size(), offered, offered_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

struct TlsContext::Handle {
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> ssl;
};

TlsContext::TlsContext(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}

TlsContext::~TlsContext() = default;

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsOptions& options) {
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->ssl.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* ssl = handle->ssl.get();
  if (ssl == nullptr) {
    return fail(ErrorCode::kSystem, "OpenSSL: " + openssl_reason());
  }
  SSL_CTX_set_min_proto_version(ssl,
                                options.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  // Renegotiation is a way to make a server work for nothing. Buffers go when they are empty.
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(ssl, options.certificate_file.c_str()) != 1) {
    return bad_file("cert_pem_file", options.certificate_file);
  }
  if (SSL_CTX_use_PrivateKey_file(ssl, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ssl) != 1) {
    return bad_file("key_pem_file", options.key_file);
  }
  if (!options.client_ca_file.empty()) {
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(options.client_ca_file.c_str());
    if (names == nullptr ||
        SSL_CTX_load_verify_locations(ssl, options.client_ca_file.c_str(), nullptr) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return bad_file("client_ca_pem_file", options.client_ca_file);
    }
    SSL_CTX_set_client_CA_list(ssl, names);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // A resumed session must belong to this server for its client certificate to count.
    static constexpr std::array<unsigned char, 9> kName = {'t', 'r', 'u', 'n', 'k',
                                                           'l', 'i', 'n', 'e'};
    SSL_CTX_set_session_id_context(ssl, kName.data(), kName.size());
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(handle)));
}

struct TlsStream::Handle {
  std::unique_ptr<SSL, Freed<SSL_free>> ssl;
  BIO* in = nullptr;   // the ssl's
  BIO* out = nullptr;  // the ssl's
};

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), handle_(std::make_unique<Handle>()) {
  handle_->ssl.reset(SSL_new(context_->handle_->ssl.get()));
  handle_->in = BIO_new(BIO_s_mem());
  handle_->out = BIO_new(BIO_s_mem());
  TRUNKLINE_ASSERT(handle_->ssl && handle_->in != nullptr && handle_->out != nullptr);
  SSL_set_bio(handle_->ssl.get(), handle_->in, handle_->out);
  SSL_set_accept_state(handle_->ssl.get());
}

TlsStream::~TlsStream() = default;

bool TlsStream::receive(std::span<const char> bytes, std::span<char> buffer,
                        const std::function<bool(std::span<char>)>& take) {
  TRUNKLINE_ASSERT(bytes.size() <= INT_MAX && buffer.size() <= INT_MAX);
  ERR_clear_error();
  BIO_write(handle_->in, bytes.data(), static_cast<int>(bytes.size()));
  while (true) {
    // Carries the handshake on, too.
    const int count = SSL_read(handle_->ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count > 0) {
      if (!take(buffer.first(static_cast<std::size_t>(count)))) {
        break;
      }
      continue;
    }
    const int why = SSL_get_error(handle_->ssl.get(), count);
    collect();
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
  }
  collect();
  return true;
}

bool TlsStream::is_open() const {
  return SSL_is_init_finished(handle_->ssl.get()) == 1 && !closed_;
}

bool TlsStream::encrypt(std::span<const std::string_view> spans) {
  ERR_clear_error();
  for (const std::string_view span : spans) {
    // Into memory: it takes everything or is at its end.
    const int size = static_cast<int>(span.size());
    if (size > 0 && SSL_write(handle_->ssl.get(), span.data(), size) != size) {
      ERR_clear_error();
      return false;
    }
  }
  collect();
  return true;
}

void TlsStream::close() {
  if (!closed_) {
    closed_ = true;
    ERR_clear_error();
    SSL_shutdown(handle_->ssl.get());
    ERR_clear_error();
    collect();
  }
}

void TlsStream::collect() {
  char* data = nullptr;
  const long size = BIO_get_mem_data(handle_->out, &data);
  if (size > 0) {
    pending_.append(data, static_cast<std::size_t>(size));
    BIO_reset(handle_->out);
  }
}

void TlsStream::sent(std::size_t bytes) {
  sent_ += bytes;
  TRUNKLINE_ASSERT(sent_ <= pending_.size());
  if (sent_ == pending_.size()) {
    pending_ = std::string{};  // most connections are idle most of the time
    sent_ = 0;
  }
}

}  // namespace trunkline::net
