// SPDX-License-Identifier: MIT
#include "clients.h"

#include <iterator>

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

std::string line_of(std::istream& stream) {
  std::string line;
  if (!std::getline(stream, line)) return "!connection lost";
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::string bytes_of(std::istream& stream, std::size_t size) {
  std::string bytes(size + 2, '\0');
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    return "!connection lost";
  }
  bytes.resize(size);
  return bytes;
}

HttpReply converse(std::uint16_t port, const std::string& head, const std::string& body = {}) {
  boost::asio::ip::tcp::iostream stream;
  stream.expires_after(5s);
  stream.connect("127.0.0.1", std::to_string(port));
  stream << head << "Host: 127.0.0.1:" << port << "\r\nConnection: close\r\n\r\n"
         << body << std::flush;
  std::string version;
  HttpReply reply;
  if (!(stream >> version >> reply.status)) return {};
  std::string line;
  while (std::getline(stream, line) && line != "\r") reply.headers += line + "\n";
  reply.body.assign(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  return reply;
}

}  // namespace

RedisClient::RedisClient(std::uint16_t port) {
  stream_.expires_after(5s);
  stream_.connect("127.0.0.1", std::to_string(port));
  boost::system::error_code ignored;  // A long command leaves in many small pieces.
  stream_.socket().set_option(boost::asio::ip::tcp::no_delay(true), ignored);
}

std::string RedisClient::ask(const std::vector<std::string>& command) {
  return send(command) ? read_reply() : "!cannot send";
}

bool RedisClient::send(const std::vector<std::string>& command) {
  std::string request = "*" + std::to_string(command.size()) + "\r\n";
  for (const auto& word : command) {
    request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  stream_.expires_after(5s);
  return static_cast<bool>(stream_ << request << std::flush);
}

std::string RedisClient::read_reply() {
  const std::string head = line_of(stream_);
  if (head == "$-1" || head == "*-1" || head == "_") return "(nil)";
  if (head.starts_with('$')) return bytes_of(stream_, std::stoul(head.substr(1)));
  if (!head.starts_with('*')) return head;
  std::string all;
  for (auto rest = std::stoul(head.substr(1)); rest > 0; --rest) all += read_reply() + "\n";
  return all;
}

HttpReply http_get(std::uint16_t port, const std::string& path, const std::string& cookie) {
  return converse(
      port, "GET " + path + " HTTP/1.1\r\n" + (cookie.empty() ? "" : "Cookie: " + cookie + "\r\n"));
}

HttpReply http_post(std::uint16_t port, const std::string& path, const std::string& type,
                    const std::string& body) {
  return converse(port,
                  "POST " + path + " HTTP/1.1\r\nContent-Type: " + type +
                      "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n",
                  body);
}

}  // namespace muster::testing
