// SPDX-License-Identifier: MIT
#include "http/tls_trust.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

namespace muster::discovery {
namespace {

namespace ssl = boost::asio::ssl;
using boost::asio::buffer;
using boost::system::error_code;

/// A key under a pass phrase: nobody is there to type it, and a terminal must not be asked.
int no_pass_phrase(char*, int, int, void*) { return -1; }

Error unusable(const char* what, const error_code& error) {
  return bad_input(std::string(what) + " cannot be used: " + error.message());
}

Result<void> show_certificate(ssl::context& context, const TlsTrust::Pem& pem) {
  error_code error;
  context.use_certificate_chain(buffer(pem.certificate), error);
  if (error) return unusable("our certificate", error);
  context.use_private_key(buffer(pem.key), ssl::context::pem, error);
  if (error) return unusable("the key of our certificate", error);
  if (::SSL_CTX_check_private_key(context.native_handle()) != 1)
    return bad_input("our certificate and its key do not belong together");
  return {};
}

std::string certificate_problem(long verified, bool authority_is_given, const std::string& host) {
  switch (verified) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "its certificate is for another name than " + host;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "its certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "its certificate is not valid yet";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return std::string("its certificate is not signed by ") +
             (authority_is_given ? "the given authority" : "an authority that this system trusts");
    default:
      return std::string("its certificate is not accepted: ") +
             ::X509_verify_cert_error_string(verified);
  }
}

std::string alert_problem(int reason) {
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNKNOWN_PROTOCOL:
      return "it does not speak TLS";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "it wants a certificate from us";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return "it does not accept our certificate";
    default:
      return "";
  }
}

}  // namespace

TlsTrust::TlsTrust(Pem pem) : pem_(std::move(pem)), context_(ssl::context::tls_client) {}

Result<std::shared_ptr<TlsTrust>> TlsTrust::make(Pem pem) {
  const std::shared_ptr<TlsTrust> trust(new TlsTrust(std::move(pem)));
  ssl::context& context = trust->context_;
  SSL_CTX* native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  ::SSL_CTX_set_default_passwd_cb(native, no_pass_phrase);
  context.set_verify_mode(ssl::verify_peer);
  error_code error;
  if (trust->pem_.trusted.empty()) {
    context.set_default_verify_paths(error);
    if (error) return unusable("the system's authorities", error);
  } else {
    context.add_certificate_authority(buffer(trust->pem_.trusted), error);
    if (error) return unusable("the authority's certificate", error);
    // Whoever is named is trusted, be it an authority below another.
    ::X509_VERIFY_PARAM_set_flags(::SSL_CTX_get0_param(native), X509_V_FLAG_PARTIAL_CHAIN);
  }
  if (!trust->pem_.certificate.empty() || !trust->pem_.key.empty())
    if (auto shown = show_certificate(context, trust->pem_); !shown) return shown.error();
  return trust;
}

Result<void> TlsTrust::expect(SSL* connection, const std::string& host, bool is_address) {
  X509_VERIFY_PARAM* wanted = ::SSL_get0_param(connection);
  ::X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  // The final dot of a complete name is for DNS alone: certificates and SNI leave it out.
  std::string name = host;
  if (!is_address && name.ends_with('.')) name.pop_back();
  const bool is_set = is_address
                          ? ::X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) == 1
                          : ::X509_VERIFY_PARAM_set1_host(wanted, name.data(), name.size()) == 1;
  // An address is no name to be asked for (RFC 6066).
  const bool is_named = is_address || ::SSL_ctrl(connection, SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                                 TLSEXT_NAMETYPE_host_name, name.data()) == 1;
  if (!is_set || !is_named) return bad_input("'" + host + "' cannot be the name of a server");
  return {};
}

std::string TlsTrust::explain(SSL* connection, const error_code& error,
                              const std::string& host) const {
  if (error.category() != boost::asio::error::get_ssl_category()) {
    if (error == ssl::error::stream_truncated || error == boost::asio::error::eof)
      return "the connection was closed during the TLS handshake";
    return error.message();
  }
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return certificate_problem(::SSL_get_verify_result(connection), !pem_.trusted.empty(), host);
  const std::string known = alert_problem(reason);
  return known.empty() ? "TLS: " + error.message() : known;
}

}  // namespace muster::discovery
