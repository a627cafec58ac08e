// SPDX-License-Identifier: MIT
//
// Whom a TLS client believes and how it shows itself, from PEM texts; and what went wrong with it,
// in plain words.  There is no way to switch verification off.
//
// Errors: PEM that cannot be read, a key that does not fit the certificate.  None repeats the PEM.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

class TlsTrust {
 public:
  struct Pem {
    std::string trusted = {};  ///< Authorities; empty: the system's.
    std::string certificate = {};
    std::string key = {};
    friend bool operator==(const Pem&, const Pem&) = default;
  };

  static Result<std::shared_ptr<TlsTrust>> make(Pem pem);

  [[nodiscard]] const Pem& pem() const { return pem_; }
  [[nodiscard]] Instant since() const { return since_; }
  [[nodiscard]] boost::asio::ssl::context& context() { return context_; }

  /// Tells a connection whom it must meet: nobody else is believed.
  static Result<void> expect(SSL* connection, const std::string& host, bool is_address);
  /// Why a handshake, or the first answer after it, failed.
  [[nodiscard]] std::string explain(SSL* connection, const boost::system::error_code& error,
                                    const std::string& host) const;

 private:
  explicit TlsTrust(Pem pem);

  Pem pem_;
  const Instant since_ = std::chrono::steady_clock::now();
  boost::asio::ssl::context context_;
};

}  // namespace muster::discovery
