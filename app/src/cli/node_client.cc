// SPDX-License-Identifier: MIT
#include "node_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>

namespace muster::app::cli {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t answer_max = std::size_t{256} << 20;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

Result<NodeClient> NodeClient::find(const Options& options) {
  NodeClient client;
  std::string where = options.port;
  if (where.empty()) where = from_environment("MUSTER_URL");
  if (where.empty()) where = from_environment("MUSTER_PORT");
  if (where.starts_with("http://")) where.erase(0, 7);
  where = where.substr(0, where.find('/'));
  if (const auto colon = where.rfind(':'); colon != where.npos) {
    client.host_ = where.substr(0, colon);
    client.port_ = where.substr(colon + 1);
    if (client.host_.starts_with('[') && client.host_.ends_with(']'))
      client.host_ = client.host_.substr(1, client.host_.size() - 2);
  } else if (!where.empty()) {
    client.port_ = where;
  }
  std::string file = options.password_file;
  if (file.empty()) file = from_environment("MUSTER_PASSWORD_FILE");
  if (!file.empty()) {
    std::ifstream in(file);
    if (!std::getline(in, client.password_)) return bad_input("cannot read " + file);
  }
  return client;
}

Result<NodeReply> NodeClient::ask(std::string_view method, std::string_view target,
                                  std::string_view body) {
  asio::io_context loop;
  tcp::socket socket(loop);
  error_code error;
  const std::string where = host_ + ":" + port_;
  const auto addresses = tcp::resolver(loop).resolve(host_, port_, error);
  if (!error) asio::connect(socket, addresses, error);
  if (error)
    return bad_input("no node answers at http://" + where + " (" + error.message() +
                     "); say which one with --port, or start one: muster start");
  const bool v6 = host_.find(':') != host_.npos;
  std::string request = std::string(method) + " " + std::string(target) +
                        " HTTP/1.1\r\nHost: " + (v6 ? "[" + host_ + "]:" + port_ : where) +
                        "\r\nConnection: close\r\n";
  if (!password_.empty()) request += "Authorization: Bearer " + password_ + "\r\n";
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  asio::write(socket, asio::buffer(request), error);
  std::string answer;
  if (!error) asio::read(socket, asio::dynamic_buffer(answer, answer_max), error);
  const auto space = answer.find(' ');
  const auto head_end = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head_end == answer.npos)
    return bad_input("what answers at " + where + " is no muster node");
  NodeReply reply;
  reply.status = static_cast<unsigned>(std::strtoul(answer.c_str() + space, nullptr, 10));
  reply.body = answer.substr(head_end + 4);
  return reply;
}

std::string not_acknowledged(const NodeReply& reply) {
  error_code error;
  const json::value body = json::parse(reply.body, error);
  if (error || !body.is_object() || body.as_object().contains("error")) return error_of(reply);
  if (reply.status == 200) return {};
  std::string holders;
  if (const auto* names = body.as_object().if_contains("holders"); names && names->is_array())
    for (const json::value& name : names->as_array())
      holders += " " + std::string(name.as_string());
  return "not acknowledged in time; it is not rolled back; held by" + holders;
}

std::string error_of(const NodeReply& reply) {
  error_code error;
  const json::value body = json::parse(reply.body, error);
  if (!error && body.is_object())
    if (const auto* text = body.as_object().if_contains("error"); text && text->is_string())
      return std::string(text->as_string());
  return "the node answered with status " + std::to_string(reply.status);
}

Result<json::value> NodeClient::json(std::string_view method, std::string_view target,
                                     std::string_view body) {
  auto reply = ask(method, target, body);
  if (!reply) return reply.error();
  if (reply->status != 200) return bad_input(error_of(*reply));
  error_code error;
  auto value = json::parse(reply->body, error);
  if (error || !value.is_object()) return bad_input("the node answered without sense");
  return value;
}

}  // namespace muster::app::cli
