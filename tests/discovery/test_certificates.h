// SPDX-License-Identifier: MIT
//
// An authority of one test alone, and certificates that it signs; keys are P-256.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cassert>
#include <chrono>
#include <memory>
#include <string>

namespace muster::test {

struct Certificate {
  std::string pem = {};
  std::string key = {};
};

class Authority {
 public:
  struct Subject {
    std::string name = "server";        ///< Its CommonName; empty: none.
    std::string also = "IP:127.0.0.1";  ///< As OpenSSL writes it: "DNS:a,IP:::1".
    std::chrono::seconds valid_from = -std::chrono::hours(1);  ///< From now on, both.
    std::chrono::seconds valid_until = std::chrono::hours(24);
  };

  explicit Authority(const std::string& name = "test authority") : key_(make_key()) {
    const Subject subject{.name = name, .also = ""};
    certificate_ = make(subject, key_.get(), "critical,CA:TRUE");
    sign(certificate_.get());
  }

  [[nodiscard]] std::string pem() const { return text_of(certificate_.get()); }
  [[nodiscard]] Certificate issue(const Subject& subject) const {
    const Key key = make_key();
    const auto certificate = make(subject, key.get(), "critical,CA:FALSE");
    ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(certificate_.get()));
    sign(certificate.get());
    return {.pem = text_of(certificate.get()), .key = text_of(key.get())};
  }
  [[nodiscard]] Certificate issue() const { return issue(Subject()); }

 private:
  template <auto Free>
  struct Freer {
    template <class T>
    void operator()(T* object) const {
      Free(object);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, Freer<&::EVP_PKEY_free>>;
  using X509Pointer = std::unique_ptr<X509, Freer<&::X509_free>>;
  using Bio = std::unique_ptr<BIO, Freer<&::BIO_free_all>>;

  static Key make_key() { return Key(::EVP_EC_gen("P-256")); }

  static X509Pointer make(const Subject& subject, EVP_PKEY* key, const char* constraints) {
    static int serial = 0;
    X509Pointer made(::X509_new());
    ::X509_set_version(made.get(), 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), ++serial);
    ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), subject.valid_from.count());
    ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), subject.valid_until.count());
    ::X509_set_pubkey(made.get(), key);
    X509_NAME* name = ::X509_get_subject_name(made.get());
    const auto* bytes = reinterpret_cast<const unsigned char*>(subject.name.c_str());
    if (!subject.name.empty())
      ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, bytes, -1, -1, 0);
    ::X509_set_issuer_name(made.get(), name);
    add(made.get(), NID_basic_constraints, constraints);
    if (!subject.also.empty()) add(made.get(), NID_subject_alt_name, subject.also.c_str());
    return made;
  }
  static void add(X509* certificate, int kind, const char* value) {
    X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    assert(extension);
    ::X509_add_ext(certificate, extension, -1);
    ::X509_EXTENSION_free(extension);
  }
  void sign(X509* certificate) const {
    [[maybe_unused]] const int size = ::X509_sign(certificate, key_.get(), ::EVP_sha256());
    assert(size > 0);
  }
  static std::string text_of(X509* certificate) {
    const Bio bio(::BIO_new(::BIO_s_mem()));
    ::PEM_write_bio_X509(bio.get(), certificate);
    return text_of(bio.get());
  }
  static std::string text_of(EVP_PKEY* key) {
    const Bio bio(::BIO_new(::BIO_s_mem()));
    ::PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return text_of(bio.get());
  }
  static std::string text_of(BIO* bio) {
    char* bytes = nullptr;
    const long size = ::BIO_get_mem_data(bio, &bytes);
    return {bytes, static_cast<std::size_t>(size)};
  }

  Key key_;
  X509Pointer certificate_;
};

}  // namespace muster::test
