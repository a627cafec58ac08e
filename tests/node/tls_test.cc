// SPDX-License-Identifier: MIT
#include "transport/tls.h"

#include <gtest/gtest.h>

#include <string>

namespace muster::node {
namespace {

using Role = TlsContext::Role;
using Progress = TlsChannel::Progress;
using Failure = TlsChannel::Failure;

/// Two ends and the wire between them.
struct Pair {
  Pair(std::string_view dialler_cookie, std::string_view acceptor_cookie)
      : dialler_context(Cookie(std::string(dialler_cookie)).derive("link")),
        acceptor_context(Cookie(std::string(acceptor_cookie)).derive("link")),
        dialler(dialler_context.open(Role::dialler)),
        acceptor(acceptor_context.open(Role::acceptor)) {}

  static Progress step(TlsChannel& self, TlsChannel& other) {
    const std::string input = std::exchange(other.output(), {});
    self.feed(input);
    return self.handshake();
  }
  void shake() {
    for (int i = 0; i < 4; ++i) {
      dialled = step(*dialler, *acceptor);
      accepted = step(*acceptor, *dialler);
    }
  }

  TlsContext dialler_context, acceptor_context;
  std::unique_ptr<TlsChannel> dialler, acceptor;
  Progress dialled = Progress::more;
  Progress accepted = Progress::more;
  std::string space = std::string(16384, '\0');
};

TEST(Tls, ConnectsTwoWhoShareTheCookie) {
  Pair pair("one cookie for both", "one cookie for both");
  pair.shake();
  ASSERT_EQ(pair.dialled, Progress::done);
  ASSERT_EQ(pair.accepted, Progress::done);
  ASSERT_TRUE(pair.dialler->write("hello"));
  const std::string wire = std::exchange(pair.dialler->output(), {});
  EXPECT_EQ(wire.find("hello"), std::string::npos);
  pair.acceptor->feed(wire);
  EXPECT_EQ(pair.acceptor->read(pair.space), "hello");
  EXPECT_EQ(pair.acceptor->read(pair.space), "");
  EXPECT_EQ(pair.acceptor->failure(), Failure::none);
}

TEST(Tls, AWrongCookieFailsOnBothSidesAndSaysSo) {
  Pair pair("this cookie", "that cookie");
  pair.shake();
  EXPECT_EQ(pair.dialled, Progress::failed);
  EXPECT_EQ(pair.accepted, Progress::failed);
  EXPECT_EQ(pair.dialler->failure_text(), "wrong cookie");
  EXPECT_EQ(pair.acceptor->failure_text(), "wrong cookie");
}

TEST(Tls, AnAcceptorWithoutTheKeyIsNotBelievedWhateverCertificateItShows) {
  // An acceptor that ignores the key and shows a certificate of its own, as an attacker would.
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()),
                                                                  &SSL_CTX_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  ASSERT_EQ(SSL_CTX_use_certificate(context.get(), certificate.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context.get(), key.get()), 1);
  const std::unique_ptr<SSL, decltype(&SSL_free)> attacker(SSL_new(context.get()), &SSL_free);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(attacker.get(), in, out);
  SSL_set_accept_state(attacker.get());

  const TlsContext ours(Cookie("a cookie of ours").derive("link"));
  const auto dialler = ours.open(Role::dialler);
  Progress progress = Progress::more;
  std::string wire;
  for (int i = 0; i < 6 && progress == Progress::more; ++i) {
    dialler->feed(wire);
    progress = dialler->handshake();
    BIO_write(in, dialler->output().data(), static_cast<int>(dialler->output().size()));
    dialler->output().clear();
    SSL_do_handshake(attacker.get());
    wire.assign(65536, '\0');
    const int count = BIO_read(out, wire.data(), static_cast<int>(wire.size()));
    wire.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  }
  EXPECT_EQ(progress, Progress::failed);
  EXPECT_EQ(dialler->failure_text(), "wrong cookie");
}

TEST(Tls, WhoDoesNotSpeakTlsIsRecognisedByTheFirstByte) {
  using namespace std::string_view_literals;
  const TlsContext context(Cookie("c").derive("link"));
  for (const std::string_view greeting :
       {"GET / HTTP/1.1\r\n\r\n"sv, "\x00\x15N\x00"sv, "*1\r\n"sv}) {
    const auto acceptor = context.open(Role::acceptor);
    acceptor->feed(greeting);
    EXPECT_EQ(acceptor->handshake(), Progress::failed);
    EXPECT_EQ(acceptor->failure(), Failure::not_tls);
    EXPECT_TRUE(acceptor->output().empty());
  }
}

TEST(Tls, AChangedByteEndsTheChannel) {
  Pair pair("one cookie for both", "one cookie for both");
  pair.shake();
  pair.dialler->write(std::string(1000, 'x'));
  std::string wire = std::exchange(pair.dialler->output(), {});
  wire[500] = static_cast<char>(wire[500] ^ 1);
  pair.acceptor->feed(wire);
  EXPECT_EQ(pair.acceptor->read(pair.space), "");
  EXPECT_EQ(pair.acceptor->failure(), Failure::protocol);
  EXPECT_FALSE(pair.acceptor->write("more"));
}

TEST(Tls, AReplayedConversationIsRefused) {
  Pair first("one cookie for both", "one cookie for both");
  std::string to_acceptor;
  for (int i = 0; i < 4; ++i) {
    Pair::step(*first.dialler, *first.acceptor);
    to_acceptor += first.dialler->output();
    Pair::step(*first.acceptor, *first.dialler);
  }
  const auto again = first.acceptor_context.open(Role::acceptor);
  again->feed(to_acceptor);
  EXPECT_NE(again->handshake(), Progress::done);
  EXPECT_NE(again->handshake(), Progress::done);
}

TEST(Tls, AMegabyteGoesThroughInOneWriteAndTheEndIsTold) {
  Pair pair("one cookie for both", "one cookie for both");
  pair.shake();
  const std::string much(1 << 20, 'm');
  ASSERT_TRUE(pair.acceptor->write(much));
  pair.acceptor->close();
  const std::string wire = std::exchange(pair.acceptor->output(), {});
  pair.dialler->feed(wire);
  std::string got;
  for (;;) {
    const auto piece = pair.dialler->read(pair.space);
    if (piece.empty()) break;
    got += piece;
  }
  EXPECT_EQ(got, much);
  EXPECT_EQ(pair.dialler->failure(), Failure::closed);
}

}  // namespace
}  // namespace muster::node
