// SPDX-License-Identifier: MIT
//
// One connection: TLS over a socket, frames in both directions, two lanes out.  It decides nothing:
// frames and the end go to its owner, frames to send come from it.
//
// Batching: a read hands over all frames that it completed; a write carries all that waits, up to a
// bound. Threads: the strand only.  Bounds: the queue (a peer that does not read is cut off), one
// frame per lane inwards, a few kilobytes before the peer has proved that it has the cookie. Stop:
// abort(), then wait for handshake() or run(), then for finish(), then destroy.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "asio_types.h"
#include "muster/discovery/time.h"
#include "muster/node/node_machine.h"
#include "task_group.h"
#include "transport/frames.h"
#include "transport/tls.h"
#include "watchdog.h"

namespace muster::node {

class Connection {
 public:
  /// How a link speaks to its owner, from the strand, never from within a call of the owner's.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Frames may have come: the owner calls drain(), once, within one turn of its own.
    virtual void readable(Connection& link) = 0;
    /// A write has ended and little is left in the queue.
    virtual void drained(Connection& link) = 0;
  };

  struct Scratch {
    std::string read = std::string(std::size_t{16} << 10, '\0');  ///< One record of TLS.
    std::string write;
  };

  /// `scratch` is used within calls only: all connections of a strand may share it.
  Connection(const Strand& strand, Socket socket, const TlsContext& tls, TlsContext::Role role,
             std::string remote, Scratch& scratch);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Ends in time; an error says what is wrong with the peer.
  asio::awaitable<Result<void>> handshake(Duration deadline);
  /// After the handshake; until the connection is gone.  The reason is for people.
  asio::awaitable<std::string> run(Owner& owner);

  /// Before destruction; aborts what still goes on.
  asio::awaitable<void> finish();

  /// Calls `deliver` for each complete frame, until it returns false or the link is closed.
  void drain(const std::function<bool(std::string_view)>& deliver);
  void push(Lane lane, Bytes frame);
  [[nodiscard]] std::size_t queued() const { return queue_.bytes() + in_flight_frames_; }
  /// Starts writing what is queued, unless a write is under way.
  void flush();
  /// Sends what is urgent, tells the peer, and goes; bounded in time.  Nothing is delivered any
  /// more.
  void close();
  /// Goes at once.
  void abort(std::string_view reason);

  [[nodiscard]] const std::string& remote() const { return remote_; }
  [[nodiscard]] TlsChannel::Failure tls_failure() const { return tls_->failure(); }

  LinkId id;              ///< The owner's.
  bool flushing = false;  ///< The owner's: it is on the list of links to flush.

  static constexpr std::size_t queue_max = std::size_t{64} << 20;

 private:
  asio::awaitable<bool> send_handshake();
  void written(const error_code& error);
  void finish_closing();
  void fail_read(const error_code& error);

  enum class State : std::uint8_t { open, closing, closed };

  TaskGroup tasks_;
  Socket socket_;
  std::unique_ptr<TlsChannel> tls_;
  std::string remote_;
  Watchdog watchdog_;
  Owner* owner_ = nullptr;
  State state_ = State::open;
  std::string reason_;

  FrameReader reader_;
  std::string received_;  ///< Ciphertext of the last read.

  FrameQueue queue_;
  Scratch& scratch_;
  std::string in_flight_;  ///< Ciphertext under way.
  std::size_t in_flight_frames_ = 0;
  bool writing_ = false;
  bool said_goodbye_ = false;
};

}  // namespace muster::node
