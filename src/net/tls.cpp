// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include <trunkline/client.h>

#include "core/assert.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <climits>
#include <system_error>
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

std::string reason_of(unsigned long code) {
  if (ERR_SYSTEM_ERROR(code)) {
    return std::generic_category().message(ERR_GET_REASON(code));
  }
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "not usable" : reason;
}

// The oldest error that OpenSSL has on this thread says what began it.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  return reason_of(code);
}

std::unexpected<Error> bad_file(std::string_view option, const std::string& file) {
  return fail(ErrorCode::kConfig, fmt::format("{}: {}: {}", option, file, openssl_reason()));
}

struct CertificateFiles {
  std::string_view certificate_option;
  const std::string& certificate;
  std::string_view key_option;
  const std::string& key;
};

Result<void> use_certificate(SSL_CTX* ssl, const CertificateFiles& files) {
  if (SSL_CTX_use_certificate_chain_file(ssl, files.certificate.c_str()) != 1) {
    return bad_file(files.certificate_option, files.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(ssl, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ssl) != 1) {
    return bad_file(files.key_option, files.key);
  }
  return {};
}

// As ALPN writes it (RFC 7301): HTTP/1.1 is what is spoken.
constexpr std::array<unsigned char, 9> kProtocols = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// A client that offers others only is told so by the handshake's end.
int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void* /*argument*/) {
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_size, kProtocols.data(), kProtocols.size(),
                                           offered, offered_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// What OpenSSL found wrong with the certificate of `host`, and what helps.
std::string describe_refusal(const std::string& host, long verdict) {
  const char* reason = X509_verify_cert_error_string(verdict);
  switch (verdict) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return fmt::format(
          "TLS: the certificate of {} is not trusted ({}): its CA must be in the CA file, or "
          "without "
          "one in the system's store",
          host, reason);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format(
          "TLS: the certificate is not for {} ({}): connect by a name or address that it has as "
          "subjectAltName",
          host, reason);
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format(
          "TLS: the certificate of {} is not valid now ({}): the server needs another one, or the "
          "clock here is wrong",
          host, reason);
    default:
      return fmt::format("TLS: the certificate of {} is refused: {}", host, reason);
  }
}

// What may help against an error of the handshake or the stream; empty: nothing that is known.
std::string_view hint_for(unsigned long code) {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
    return {};
  }
  switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return ": the other side does not speak TLS there";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return ": the two sides have no version in common";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return ": a client certificate is needed";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      return ": the other side does not accept the certificate";
    default:
      return {};
  }
}

}  // namespace

struct TlsContext::Handle {
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> ssl;
  bool is_client = false;
  bool is_verifying = false;  // client role
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
  if (const Result<void> used =
          use_certificate(ssl, {.certificate_option = options.names.certificate,
                                .certificate = options.certificate_file,
                                .key_option = options.names.key,
                                .key = options.key_file});
      !used.has_value()) {
    return std::unexpected(used.error());
  }
  if (!options.client_ca_file.empty()) {
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(options.client_ca_file.c_str());
    if (names == nullptr ||
        SSL_CTX_load_verify_locations(ssl, options.client_ca_file.c_str(), nullptr) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return bad_file(options.names.client_ca, options.client_ca_file);
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

Result<std::shared_ptr<const TlsContext>> TlsContext::load_client(const ClientTlsOptions& options) {
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return fail(ErrorCode::kConfig, "a client certificate and its key are given together or not");
  }
  if (options.insecure_no_verification && !options.ca_file.empty()) {
    return fail(ErrorCode::kConfig,
                "a CA file and no verification of the certificate contradict each other");
  }
  ERR_clear_error();
  auto handle = std::make_unique<Handle>();
  handle->is_client = true;
  handle->is_verifying = !options.insecure_no_verification;
  handle->ssl.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* ssl = handle->ssl.get();
  if (ssl == nullptr) {
    return fail(ErrorCode::kSystem, "OpenSSL: " + openssl_reason());
  }
  SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(ssl, handle->is_verifying ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (SSL_CTX_set_alpn_protos(ssl, kProtocols.data(), kProtocols.size()) != 0) {
    return fail(ErrorCode::kSystem, "OpenSSL: " + openssl_reason());
  }
  if (handle->is_verifying && options.ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(ssl) != 1) {
      return fail(ErrorCode::kSystem, "the system's store of CAs: " + openssl_reason());
    }
  } else if (handle->is_verifying &&
             SSL_CTX_load_verify_locations(ssl, options.ca_file.c_str(), nullptr) != 1) {
    return bad_file("CA file", options.ca_file);
  }
  if (!options.certificate_file.empty()) {
    if (const Result<void> used = use_certificate(ssl, {.certificate_option = "client certificate",
                                                        .certificate = options.certificate_file,
                                                        .key_option = "client key",
                                                        .key = options.key_file});
        !used.has_value()) {
      return std::unexpected(used.error());
    }
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(handle)));
}

struct TlsStream::Handle {
  std::unique_ptr<SSL, Freed<SSL_free>> ssl;
  BIO* in = nullptr;   // the ssl's
  BIO* out = nullptr;  // the ssl's
  std::string host;    // client role: what was dialled
};

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context)
    : TlsStream(std::move(context), Role::kServer) {}

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, Role role)
    : context_(std::move(context)), handle_(std::make_unique<Handle>()) {
  // A client that only accepted would verify no name.
  TRUNKLINE_ASSERT(context_->handle_->is_client == (role == Role::kClient));
  handle_->ssl.reset(SSL_new(context_->handle_->ssl.get()));
  handle_->in = BIO_new(BIO_s_mem());
  handle_->out = BIO_new(BIO_s_mem());
  TRUNKLINE_ASSERT(handle_->ssl && handle_->in != nullptr && handle_->out != nullptr);
  SSL_set_bio(handle_->ssl.get(), handle_->in, handle_->out);
  if (role == Role::kClient) {
    SSL_set_connect_state(handle_->ssl.get());
  } else {
    SSL_set_accept_state(handle_->ssl.get());
  }
}

TlsStream::~TlsStream() = default;

Result<std::unique_ptr<TlsStream>> TlsStream::dial(std::shared_ptr<const TlsContext> context,
                                                   std::string_view host) {
  TRUNKLINE_ASSERT(context != nullptr);
  const bool is_verifying = context->handle_->is_verifying;
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(context), Role::kClient));
  SSL* ssl = stream->handle_->ssl.get();
  stream->handle_->host = host;
  // Certificates know neither the zone of an address (fe80::1%eth0) nor the dot that ends a name.
  std::string name(host.substr(0, host.find('%')));
  if (name.ends_with('.')) {
    name.pop_back();
  }
  // To OpenSSL a dot in front stands for all names below, and a NUL ends the name.
  const bool is_word = !name.empty() && !name.starts_with('.') && !name.contains('\0');
  ERR_clear_error();
  X509_VERIFY_PARAM* rules = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  bool is_named = is_word && X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str()) == 1;
  if (is_word && !is_named && !name.contains(':')) {
    // Addresses are not told to the server (RFC 6066, section 3).
    // SSL_ctrl: what SSL_set_tlsext_host_name does, without its cast.
    is_named =
        SSL_set1_host(ssl, name.c_str()) == 1 &&
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1;
  }
  ERR_clear_error();
  if (is_verifying && !is_named) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("TLS: '{}' is neither a name nor an address to verify", host));
  }
  SSL_do_handshake(ssl);  // as far as it goes without an answer
  ERR_clear_error();
  stream->collect();
  return stream;
}

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
    if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL) {
      failure_ = describe_failure();
    }
    collect();
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
  }
  collect();
  return true;
}

// Reads OpenSSL's errors of this thread.
std::string TlsStream::describe_failure() const {
  SSL* ssl = handle_->ssl.get();
  const long verdict = SSL_get_verify_result(ssl);
  if (context_->handle_->is_verifying && verdict != X509_V_OK) {
    return describe_refusal(handle_->host, verdict);
  }
  const unsigned long code = ERR_peek_error();
  return fmt::format("TLS{}{}: {}{}", handle_->host.empty() ? "" : " with ", handle_->host,
                     reason_of(code), hint_for(code));
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

bool TlsStream::is_peer_certified_for(std::string_view host) const {
  const std::unique_ptr<X509, Freed<X509_free>> shown(
      SSL_get1_peer_certificate(handle_->ssl.get()));
  const std::string name(host);
  if (shown == nullptr || name.empty() || name.starts_with('.') || name.contains('\0')) {
    return false;
  }
  constexpr unsigned kRules =
      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  const bool is_certified =
      X509_check_ip_asc(shown.get(), name.c_str(), kRules) == 1 ||
      X509_check_host(shown.get(), name.data(), name.size(), kRules, nullptr) == 1;
  ERR_clear_error();
  return is_certified;
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
