// SPDX-License-Identifier: MIT
#include "http/http_response_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

constexpr std::uint32_t most_head_bytes = 16 * 1024;
constexpr std::size_t most_unparsed_bytes = 64 * 1024;
constexpr std::size_t final_chunk_bytes = 5;
constexpr Duration longest_retry_after = std::chrono::hours(1);

std::optional<Duration> read_retry_after(std::string_view text) {
  std::uint32_t seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return std::min<Duration>(std::chrono::seconds(seconds), longest_retry_after);
}

}  // namespace

/// Beast's parser with our body: text for a reply, lines for a stream.
class HttpResponseReader::Parser : public http::basic_parser<false> {
 public:
  Parser(const Options& options, const TakeLine& take_line)
      : options_(options), take_line_(take_line) {
    eager(true);
    header_limit(most_head_bytes);
    body_limit(boost::none);  // on_body() has its own, which fits both.
    if (options.head_only) skip(true);
  }

  [[nodiscard]] bool is_informational() const {
    return reply.status >= 100 && reply.status < 200 && reply.status != 101;
  }
  [[nodiscard]] bool is_streaming() const {
    return options_.stream && has_head_ && reply.status == 200;
  }
  /// Where the smallest thing that can follow is the end, "0\r\n\r\n".
  [[nodiscard]] bool is_between_chunks() const {
    return has_head_ && chunked() && left_of_chunk_ == 0;
  }
  /// What stands behind the last end of a line is a line, too, once the body is whole.
  void finish() {
    if (!line_.empty()) take_line(std::move(line_));
    line_.clear();
  }
  [[nodiscard]] Error explain(error_code error) const {
    if (error == http::error::body_limit)
      return bad_input(std::string(is_streaming() ? "a line" : "the answer") + " is larger than " +
                       std::to_string(options_.most_bytes) + " bytes");
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      return bad_input("the head of the answer is larger than " + std::to_string(most_head_bytes) +
                       " bytes");
    if (error == http::error::partial_message)
      return bad_input("the connection ended in the middle of the answer");
    return bad_input("the answer is not HTTP (" + error.message() + ")");
  }

  HttpReply reply;

 private:
  void take_line(std::string line) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) take_line_(std::move(line));
  }
  std::size_t on_body(string_view bytes, error_code& error) {
    error = {};
    if (is_streaming()) return on_stream(bytes, error);
    if (bytes.size() > options_.most_bytes - reply.body.size())
      error = http::error::body_limit;
    else
      reply.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  std::size_t on_stream(string_view bytes, error_code& error) {
    std::string_view rest(bytes.data(), bytes.size());
    while (!rest.empty() && !error) {
      const std::size_t end = rest.find('\n');
      const std::string_view piece = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (piece.size() > options_.most_bytes - line_.size()) {
        error = http::error::body_limit;
      } else {
        line_.append(piece);
        if (end != std::string_view::npos) take_line(std::exchange(line_, {}));
      }
    }
    return bytes.size();
  }

  void on_request_impl(http::verb, string_view, string_view, int, error_code& error) override {
    error = {};
  }
  void on_response_impl(int status, string_view reason, int, error_code& error) override {
    error = {};
    reply.status = status;
    reply.reason.assign(reason.data(), reason.size());
  }
  void on_field_impl(http::field field, string_view, string_view value,
                     error_code& error) override {
    error = {};
    if (field == http::field::retry_after)
      reply.retry_after = read_retry_after({value.data(), value.size()});
  }
  void on_header_impl(error_code& error) override {
    error = {};
    has_head_ = true;
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>& size, error_code& error) override {
    error = {};
    if (size && !is_streaming() && *size > options_.most_bytes) error = http::error::body_limit;
  }
  std::size_t on_body_impl(string_view bytes, error_code& error) override {
    return on_body(bytes, error);
  }
  void on_chunk_header_impl(std::uint64_t size, string_view, error_code& error) override {
    error = {};
    left_of_chunk_ = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t left, string_view bytes,
                                 error_code& error) override {
    left_of_chunk_ = left - bytes.size();
    return on_body(bytes, error);
  }
  void on_finish_impl(error_code& error) override { error = {}; }

  const Options options_;
  const TakeLine& take_line_;
  std::string line_;  // Begun, not ended yet.
  bool has_head_ = false;
  std::uint64_t left_of_chunk_ = 0;
};

HttpResponseReader::HttpResponseReader(Options options, TakeLine take_line)
    : options_(options), take_line_(std::move(take_line)) {
  parser_ = std::make_unique<Parser>(options_, take_line_);
}
HttpResponseReader::~HttpResponseReader() = default;

Result<void> HttpResponseReader::feed(std::string_view bytes) {
  has_begun_ = has_begun_ || !bytes.empty();
  buffer_ += bytes;
  std::size_t used = 0;
  error_code error;
  while (used < buffer_.size() && !parser_->is_done()) {
    // Beast asserts that it sees the final chunk whole, or not at all.
    if (parser_->is_between_chunks() && buffer_.size() - used < final_chunk_bytes) break;
    const std::size_t taken =
        parser_->put(asio::buffer(buffer_.data() + used, buffer_.size() - used), error);
    used += taken;
    if (error && error != http::error::need_more) return parser_->explain(error);
    if (taken == 0) break;
    if (parser_->is_done() && parser_->is_informational())  // The real answer is still to come.
      parser_ = std::make_unique<Parser>(options_, take_line_);
  }
  buffer_.erase(0, used);
  if (buffer_.size() > most_unparsed_bytes) return parser_->explain(http::error::buffer_overflow);
  if (parser_->is_done()) parser_->finish();
  return {};
}

Result<void> HttpResponseReader::end() {
  if (!has_begun_) return bad_input("the connection ended without an answer");
  if (parser_->is_done()) return {};
  error_code error;
  if (parser_->got_some()) parser_->put_eof(error);
  if (!parser_->is_done() && !error) error = http::error::partial_message;
  if (error) return parser_->explain(error);
  parser_->finish();
  return {};
}

bool HttpResponseReader::has_begun() const { return has_begun_; }
bool HttpResponseReader::is_streaming() const { return parser_->is_streaming(); }
bool HttpResponseReader::is_done() const { return parser_->is_done(); }
bool HttpResponseReader::keeps_alive() const {
  return parser_->is_done() && parser_->keep_alive() && buffer_.empty();
}
HttpReply HttpResponseReader::take_reply() { return std::move(parser_->reply); }

}  // namespace muster::discovery
