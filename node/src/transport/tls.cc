// SPDX-License-Identifier: MIT
// See tls.h.  OpenSSL reads and writes through a BIO of ours that is no more than a view and a
// string.
#include "transport/tls.h"

#include <openssl/err.h>
#include <openssl/tls1.h>

#include <algorithm>
#include <array>
#include <boost/assert.hpp>
#include <cstring>

namespace muster::node {
namespace {

constexpr std::string_view psk_identity = "muster-link-1";
constexpr const char* ciphersuite_name = "TLS_AES_128_GCM_SHA256";
constexpr std::array<unsigned char, 2> ciphersuite = {0x13, 0x01};
/// AES-GCM keys wear out after 2^24.5 records; at 16 KiB each this is well before.
constexpr std::uint64_t key_lifetime_bytes = std::uint64_t{1} << 36;

}  // namespace

TlsContext::TlsContext(const Key& key)
    : key_(key),
      context_(SSL_CTX_new(TLS_method()), &SSL_CTX_free),
      method_(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "muster link"), &BIO_meth_free) {
  BOOST_ASSERT(context_ && method_);
  SSL_CTX* context = context_.get();
  SSL_CTX_set_app_data(context, this);
  long good = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  good &= SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  good &= SSL_CTX_set_ciphersuites(context, ciphersuite_name);
  good &= SSL_CTX_set1_groups_list(context, "X25519");
  good &= SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_psk_use_session_callback(context, &TlsContext::use_session);
  SSL_CTX_set_psk_find_session_callback(context, &TlsContext::find_session);

  good &= BIO_meth_set_read(method_.get(), &TlsChannel::bio_read);
  good &= BIO_meth_set_write(method_.get(), &TlsChannel::bio_write);
  good &= BIO_meth_set_ctrl(method_.get(), &TlsChannel::bio_control);
  BOOST_VERIFY(good == 1);
}

std::unique_ptr<TlsChannel> TlsContext::open(Role role) const {
  return std::make_unique<TlsChannel>(*this, role);
}

SSL_SESSION* TlsContext::make_session(SSL* ssl) const {
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(SSL_SESSION_new(),
                                                                    &SSL_SESSION_free);
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, ciphersuite.data());
  if (!session || cipher == nullptr ||
      SSL_SESSION_set1_master_key(session.get(), key_.bytes.data(), key_.bytes.size()) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1) {
    return nullptr;
  }
  return session.release();
}

int TlsContext::use_session(SSL* ssl, const EVP_MD* digest, const unsigned char** identity,
                            std::size_t* identity_size, SSL_SESSION** session) {
  *session = nullptr;
  // After a HelloRetryRequest OpenSSL names the digest that the key must fit; ours is always
  // SHA-256.
  if (digest != nullptr && EVP_MD_get_type(digest) != NID_sha256) return 1;
  const auto* self = static_cast<const TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  *session = self->make_session(ssl);
  *identity = reinterpret_cast<const unsigned char*>(psk_identity.data());
  *identity_size = psk_identity.size();
  return *session != nullptr ? 1 : 0;
}

int TlsContext::find_session(SSL* ssl, const unsigned char* identity, std::size_t identity_size,
                             SSL_SESSION** session) {
  *session = nullptr;
  if (std::string_view(reinterpret_cast<const char*>(identity), identity_size) != psk_identity) {
    return 1;  // Unknown: the handshake goes on without the key and ends for want of a certificate.
  }
  const auto* self = static_cast<const TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  *session = self->make_session(ssl);
  return *session != nullptr ? 1 : 0;
}

TlsChannel::TlsChannel(const TlsContext& context, TlsContext::Role role)
    : role_(role), ssl_(SSL_new(context.context_.get()), &SSL_free) {
  BOOST_ASSERT(ssl_);
  BIO* bio = BIO_new(context.method_.get());
  BOOST_ASSERT(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (role == TlsContext::Role::dialler) {
    SSL_set_connect_state(ssl_.get());
  } else {
    SSL_set_accept_state(ssl_.get());
  }
}

int TlsChannel::bio_read(BIO* bio, char* space, int size) {
  auto* self = static_cast<TlsChannel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (self->input_.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t count = std::min(static_cast<std::size_t>(size), self->input_.size());
  std::memcpy(space, self->input_.data(), count);
  self->input_.remove_prefix(count);
  return static_cast<int>(count);
}

int TlsChannel::bio_write(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  static_cast<TlsChannel*>(BIO_get_data(bio))
      ->output_.append(bytes, static_cast<std::size_t>(size));
  return size;
}

long TlsChannel::bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

TlsChannel::Progress TlsChannel::handshake() {
  if (failure_ != Failure::none) return Progress::failed;
  // An Erlang node or a browser shows itself in the first byte; 22 is a TLS handshake, 21 an alert.
  if (!heard_anything_ && !input_.empty()) {
    heard_anything_ = true;
    if (input_.front() != 22 && input_.front() != 21) {
      failure_ = Failure::not_tls;
      return Progress::failed;
    }
  }
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    if (SSL_session_reused(ssl_.get()) == 1) return Progress::done;
    failure_ = Failure::wrong_cookie;  // It went through without the key: this is not one of ours.
    return Progress::failed;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Progress::more;
  fail(result);
  return Progress::failed;
}

std::string_view TlsChannel::read(std::string& space) {
  if (failure_ != Failure::none) return {};
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), space.data(), space.size(), &count);
  if (result == 1) return std::string_view(space).substr(0, count);
  if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) fail(result);
  return {};
}

bool TlsChannel::write(std::string_view plain) {
  if (failure_ != Failure::none) return false;
  ERR_clear_error();
  if (written_under_key_ > key_lifetime_bytes) {
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    written_under_key_ = 0;
  }
  std::size_t count = 0;
  const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &count);
  if (result != 1) fail(result);
  written_under_key_ += count;
  return result == 1;
}

void TlsChannel::close() {
  if (failure_ != Failure::none || SSL_is_init_finished(ssl_.get()) == 0) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

void TlsChannel::fail(int result) {
  const int kind = SSL_get_error(ssl_.get(), result);
  if (kind == SSL_ERROR_ZERO_RETURN) {
    failure_ = Failure::closed;
    return;
  }
  const int reason = ERR_GET_REASON(ERR_peek_error());
  const bool in_handshake = SSL_is_init_finished(ssl_.get()) == 0;
  // The acceptor sees that the binder does not verify; the dialler sees the alert that follows.
  const bool refused = reason == SSL_R_BINDER_DOES_NOT_VERIFY ||
                       reason == SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER ||
                       reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR;
  failure_ = refused && (in_handshake || role_ == TlsContext::Role::dialler) ? Failure::wrong_cookie
                                                                             : Failure::protocol;
}

std::string_view TlsChannel::failure_text() const {
  switch (failure_) {
    case Failure::none:
      return "no failure";
    case Failure::wrong_cookie:
      return "wrong cookie";
    case Failure::not_tls:
      return "does not speak TLS: not a muster node";
    case Failure::closed:
      return "closed by the peer";
    case Failure::protocol:
      return "TLS error: not a muster node, or bytes changed on the way";
  }
  return "";
}

}  // namespace muster::node
