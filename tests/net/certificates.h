// SPDX-License-Identifier: Apache-2.0
//
// Certificates made while the test runs, good and bad ones, as the PEM files that options name.
#pragma once

#include "net/tls.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::net {

struct CertificateWish {
  std::string name = "test";   // subject's common name
  std::string alternatives{};  // subjectAltName as OpenSSL writes it: DNS:a,IP:::1; empty: none
  long from_s = -3600;         // validity, from now
  long to_s = 3600;
  bool is_ca = false;
};

// A certificate with its key. Signs others.
class Certificate {
 public:
  // Signed by itself when there is no issuer.
  explicit Certificate(const CertificateWish& wish, const Certificate* issuer = nullptr)
      : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free),
        x509_(X509_new(), X509_free) {
    const Certificate& signer = issuer == nullptr ? *this : *issuer;
    X509_set_version(x509_.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509_.get()), ++last_serial);
    X509_gmtime_adj(X509_getm_notBefore(x509_.get()), wish.from_s);
    X509_gmtime_adj(X509_getm_notAfter(x509_.get()), wish.to_s);
    X509_set_pubkey(x509_.get(), key_.get());
    X509_NAME* subject = X509_get_subject_name(x509_.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.name.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(x509_.get(), X509_get_subject_name(signer.x509_.get()));
    X509V3_CTX context{};
    X509V3_set_ctx(&context, signer.x509_.get(), x509_.get(), nullptr, nullptr, 0);
    if (wish.is_ca) {
      extend(context, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (!wish.alternatives.empty()) {
      extend(context, NID_subject_alt_name, wish.alternatives);
    }
    EXPECT_GT(X509_sign(x509_.get(), signer.key_.get(), EVP_sha256()), 0);
  }

  [[nodiscard]] X509* x509() const { return x509_.get(); }

  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

 private:
  void extend(X509V3_CTX& context, int kind, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    EXPECT_NE(extension, nullptr) << value;
    X509_add_ext(x509_.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }

  static inline long last_serial = 0;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  std::unique_ptr<X509, decltype(&X509_free)> x509_;
};

// The files, in a folder that goes with them.
class CertificateFolder {
 public:
  CertificateFolder() {
    static int count = 0;
    folder_ = std::filesystem::path(::testing::TempDir()) /
              fmt::format("trunkline-certificates-{}-{}", ::getpid(), ++count);
    std::filesystem::create_directories(folder_);
  }

  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  ~CertificateFolder() { std::filesystem::remove_all(folder_); }

  // The path of the certificate; the key's is key_file(name).
  std::string add(std::string_view name, const Certificate& certificate) {
    const File pem(file(name, "pem"));
    EXPECT_EQ(PEM_write_X509(pem.get(), certificate.x509()), 1);
    const File key(key_file(name));
    EXPECT_EQ(
        PEM_write_PrivateKey(key.get(), certificate.key(), nullptr, nullptr, 0, nullptr, nullptr),
        1);
    return file(name, "pem");
  }

  [[nodiscard]] std::string certificate_file(std::string_view name) const {
    return file(name, "pem");
  }

  [[nodiscard]] std::string key_file(std::string_view name) const { return file(name, "key"); }

 private:
  class File {
   public:
    explicit File(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
      EXPECT_NE(file_, nullptr) << path;
    }

    File(const File&) = delete;
    File& operator=(const File&) = delete;

    ~File() { std::fclose(file_); }

    [[nodiscard]] std::FILE* get() const { return file_; }

   private:
    std::FILE* file_;
  };

  [[nodiscard]] std::string file(std::string_view name, std::string_view kind) const {
    return (folder_ / fmt::format("{}.{}", name, kind)).string();
  }

  std::filesystem::path folder_;
};

// What the tests of TLS need, made once: files "ca" and "other-ca", and signed by the first of them
// "server" (localhost, 127.0.0.1, ::1, *.example.com), "expired", "future", "elsewhere", "nameless"
// (its common name is localhost) and "client"; "stranger" is a client of the other CA.
class TestCertificates : public CertificateFolder {
 public:
  static TestCertificates& shared() {
    static TestCertificates made;
    return made;
  }

  // A server's with the certificate of that name; with `asks` it wants one of the client's from the
  // CA.
  [[nodiscard]] static std::shared_ptr<const TlsContext> server(std::string_view name,
                                                                bool asks = false) {
    const TestCertificates& files = shared();
    auto loaded =
        TlsContext::load({.certificate_file = files.certificate_file(name),
                          .key_file = files.key_file(name),
                          .client_ca_file = asks ? files.certificate_file("ca") : std::string()});
    EXPECT_TRUE(loaded.has_value()) << loaded.error().context;
    return *loaded;
  }

 private:
  TestCertificates() {
    const Certificate ca({.name = "test CA", .is_ca = true});
    const Certificate other({.name = "other CA", .is_ca = true});
    add("ca", ca);
    add("other-ca", other);
    const std::string here = "DNS:localhost,DNS:*.example.com,IP:127.0.0.1,IP:::1";
    add("server", Certificate({.alternatives = here}, &ca));
    add("expired", Certificate({.alternatives = here, .from_s = -7200, .to_s = -3600}, &ca));
    add("future", Certificate({.alternatives = here, .from_s = 3600, .to_s = 7200}, &ca));
    add("elsewhere", Certificate({.alternatives = "DNS:elsewhere.org,IP:192.0.2.1"}, &ca));
    add("nameless", Certificate({.name = "localhost"}, &ca));
    add("client", Certificate({.name = "client"}, &ca));
    add("stranger", Certificate({.name = "stranger"}, &other));
  }
};

}  // namespace trunkline::net
