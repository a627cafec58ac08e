// SPDX-License-Identifier: MIT
// See connection.h.
#include "transport/connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/assert.hpp>
#include <utility>

namespace muster::node {
namespace {

constexpr std::size_t read_size = std::size_t{64} << 10;
constexpr std::size_t round_max = std::size_t{256} << 10;
constexpr std::size_t drained_below = std::size_t{256} << 10;
/// A write of so much is tried at once, without waiting for the loop; it does not block.
constexpr std::size_t at_once_max = std::size_t{32} << 10;
/// What an idle link keeps of its buffer; bulk makes it grow.
constexpr std::size_t keep_below = std::size_t{64} << 10;
constexpr std::size_t handshake_max = std::size_t{16} << 10;
constexpr Duration linger = std::chrono::seconds(1);

/// Little waits in the kernel unsent, so that what is urgent overtakes what is not.
constexpr int not_sent_low_water = 128 << 10;

/// An option that the system lacks costs speed, not correctness.
void tune(Socket& socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.set_option(tcp::no_delay(true), ignored);
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent_low_water,
               sizeof not_sent_low_water);
}

}  // namespace

Connection::Connection(const Strand& strand, Socket socket, const TlsContext& tls,
                       TlsContext::Role role, std::string remote, Scratch& scratch)
    : tasks_(strand),
      socket_(std::move(socket)),
      tls_(tls.open(role)),
      remote_(std::move(remote)),
      watchdog_(strand, tasks_, [this] { abort("timed out"); }),
      scratch_(scratch) {
  tune(socket_);
}

asio::awaitable<Result<void>> Connection::handshake(Duration deadline) {
  watchdog_.start(deadline);
  received_.resize(handshake_max);
  std::size_t total = 0;
  auto progress = TlsChannel::Progress::more;
  while (state_ == State::open) {
    progress = tls_->handshake();
    if (!co_await send_handshake()) break;
    if (progress != TlsChannel::Progress::more) break;
    // The peer's first frames may come along with the end of its handshake: what is bounded is
    // what we read before the cookie is proved, not what the peer has sent by then.
    if (total == handshake_max) {
      abort("too many bytes before the cookie was proved");
      break;
    }
    const auto [error, count] = co_await socket_.async_read_some(
        asio::buffer(received_.data(), handshake_max - total), await_tuple);
    if (error) {
      fail_read(error);
      break;
    }
    total += count;
    tls_->feed(std::string_view(received_).substr(0, count));
  }
  watchdog_.stop();
  if (state_ == State::open && progress == TlsChannel::Progress::done) co_return Result<void>();
  if (tls_->failure() != TlsChannel::Failure::none) reason_ = tls_->failure_text();
  abort(reason_);
  co_return bad_input(reason_);
}

/// Also when the handshake has failed: the alert tells the peer why.
asio::awaitable<bool> Connection::send_handshake() {
  if (tls_->output().empty()) co_return true;
  in_flight_.clear();
  std::swap(in_flight_, tls_->output());
  const auto [error, count] =
      co_await asio::async_write(socket_, asio::buffer(in_flight_), await_tuple);
  if (error) fail_read(error);
  co_return !error;
}

asio::awaitable<std::string> Connection::run(Owner& owner) {
  owner_ = &owner;
  if (state_ == State::open) owner.readable(*this);  // What came along with the handshake.
  received_.resize(read_size);
  while (state_ != State::closed) {
    const auto [error, count] =
        co_await socket_.async_read_some(asio::buffer(received_), await_tuple);
    if (error) {
      fail_read(error);
      break;
    }
    if (state_ != State::open) continue;  // Only waiting for the peer's end.
    tls_->feed(std::string_view(received_).substr(0, count));
    owner.readable(*this);
  }
  abort("closed");
  co_return reason_;
}

asio::awaitable<void> Connection::finish() {
  abort("closed");
  watchdog_.stop();
  co_await tasks_.wait();
}

void Connection::drain(const std::function<bool(std::string_view)>& deliver) {
  while (state_ == State::open) {
    const std::string_view plain = tls_->read(scratch_.read);
    if (plain.empty()) break;
    reader_.push(plain);
    while (state_ == State::open) {
      const auto frame = reader_.next();
      if (!frame || !deliver(*frame)) break;
    }
    if (!reader_.broken().empty()) return abort(reader_.broken());
  }
  if (state_ == State::open && tls_->failure() != TlsChannel::Failure::none) {
    abort(tls_->failure_text());
  }
}

void Connection::push(Lane lane, Bytes frame) {
  if (state_ != State::open) return;
  queue_.push(lane, std::move(frame));
  if (queued() > queue_max) abort(fmt::format("too slow: {} MiB wait for it", queue_max >> 20));
}

void Connection::flush() {
  if (writing_ || state_ == State::closed) return;
  std::string& plain = scratch_.write;
  plain.clear();
  const std::size_t before = queue_.bytes();
  queue_.take(plain, round_max);
  in_flight_frames_ = before - queue_.bytes();
  if (!plain.empty() && !tls_->write(plain)) return abort(tls_->failure_text());
  if (state_ == State::closing && queue_.empty() && !std::exchange(said_goodbye_, true)) {
    tls_->close();
  }
  if (tls_->output().empty()) {
    if (state_ == State::closing) finish_closing();
    return;
  }
  in_flight_.clear();
  std::swap(in_flight_, tls_->output());
  std::size_t sent = 0;
  if (in_flight_.size() <= at_once_max && queue_.empty()) {
    error_code error;  // Any, "would block" first of all, comes again below.
    sent = socket_.write_some(asio::buffer(in_flight_), error);
    if (sent == in_flight_.size() && state_ == State::open) {
      in_flight_frames_ = 0;
      return;
    }
  }
  writing_ = true;
  tasks_.begin();
  asio::async_write(socket_, asio::buffer(in_flight_) + sent,
                    [this](const error_code& error, std::size_t) {
                      written(error);
                      tasks_.end();
                    });
}

void Connection::written(const error_code& error) {
  writing_ = false;
  in_flight_frames_ = 0;
  if (in_flight_.capacity() > keep_below && queue_.empty()) std::string().swap(in_flight_);
  if (error) return fail_read(error);
  if (state_ == State::open && owner_ != nullptr && queue_.bytes() < drained_below) {
    owner_->drained(*this);
  }
  flush();
}

void Connection::close() {
  if (state_ != State::open) return;
  state_ = State::closing;
  queue_.drop_bulk();
  watchdog_.start(linger);
  flush();
}

void Connection::finish_closing() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

void Connection::abort(std::string_view reason) {
  if (state_ == State::closed) return;
  state_ = State::closed;
  if (reason_.empty()) reason_ = reason;
  error_code ignored;
  socket_.close(ignored);
}

void Connection::fail_read(const error_code& error) {
  if (state_ == State::closed) return;  // We closed it ourselves and know why.
  abort(error == asio::error::eof ? "closed by the peer" : error.message());
}

}  // namespace muster::node
