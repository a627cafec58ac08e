// SPDX-License-Identifier: MIT
//
// TLS 1.3 with an external pre-shared key, both roles, without a socket: ciphertext in, ciphertext
// out.  The link above moves the bytes and may gather many records into one system call.
//
// Invariants: only TLS 1.3, only the key derived from the cookie, no certificates, no tickets, no
// early data; a dialler is done only when the key was used, so an acceptor that does not know it is
// never believed. Threads: a channel belongs to one strand; a context may be shared.  Errors: a
// sentence in failure().
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "muster/node/cookie.h"

namespace muster::node {

class TlsChannel;

/// One per node; must outlive its channels.
class TlsContext {
 public:
  enum class Role : std::uint8_t { dialler, acceptor };

  explicit TlsContext(const Key& key);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  [[nodiscard]] std::unique_ptr<TlsChannel> open(Role role) const;

 private:
  friend class TlsChannel;
  static int use_session(SSL* ssl, const EVP_MD* digest, const unsigned char** identity,
                         std::size_t* identity_size, SSL_SESSION** session);
  static int find_session(SSL* ssl, const unsigned char* identity, std::size_t identity_size,
                          SSL_SESSION** session);
  [[nodiscard]] SSL_SESSION* make_session(SSL* ssl) const;

  Key key_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<BIO_METHOD, decltype(&BIO_meth_free)> method_;
};

class TlsChannel {
 public:
  enum class Progress : std::uint8_t { more, done, failed };
  enum class Failure : std::uint8_t { none, wrong_cookie, not_tls, closed, protocol };

  TlsChannel(const TlsContext& context, TlsContext::Role role);
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  /// Ciphertext from the peer; must stay valid until handshake() asks for more or read() returns
  /// nothing.
  void feed(std::string_view ciphertext) { input_ = ciphertext; }
  Progress handshake();
  /// Plain bytes, placed in `space`; empty when more ciphertext is needed or the channel has
  /// failed.
  [[nodiscard]] std::string_view read(std::string& space);
  /// Encrypts all of `plain` into output().  False only when the channel has failed.
  bool write(std::string_view plain);
  /// Tells the peer that this is the end, not a cut.
  void close();

  /// Ciphertext for the peer; the caller takes it away (swap or clear).
  [[nodiscard]] std::string& output() { return output_; }
  [[nodiscard]] Failure failure() const { return failure_; }
  [[nodiscard]] std::string_view failure_text() const;

 private:
  static int bio_read(BIO* bio, char* space, int size);
  static int bio_write(BIO* bio, const char* bytes, int size);
  static long bio_control(BIO* bio, int command, long number, void* pointer);
  friend class TlsContext;

  void fail(int result);

  TlsContext::Role role_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  std::string_view input_;
  std::string output_;
  std::uint64_t written_under_key_ = 0;
  bool heard_anything_ = false;
  Failure failure_ = Failure::none;
};

}  // namespace muster::node
