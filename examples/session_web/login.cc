// SPDX-License-Identifier: MIT
#include "login.h"

#include <algorithm>

#include "forms.h"

namespace session_web {
namespace {

constexpr std::string_view demo_password = "demo";
constexpr std::size_t longest_user = 64;

std::string page(const std::string& node, const std::string& content) {
  return R"(<!doctype html><html lang="en"><meta charset="utf-8"><title>Who are you?</title>
<meta name="viewport" content="width=device-width"><style>
body{font:18px/1.5 system-ui,sans-serif;max-width:32em;margin:4em auto;padding:0 1em;color:#223}
input,button{font:inherit;padding:.3em .6em;margin:.2em 0}form{display:inline}
footer{margin-top:3em;color:#667;font-size:.8em}</style>
)" + content +
         "\n<footer>This page came from <b>" + escaped(node) + "</b>.</footer></html>\n";
}

std::string sign_in_form(std::string_view complaint = {}) {
  return "<h1>Sign in</h1>" + (complaint.empty() ? "" : "<p>" + escaped(complaint) + "</p>") +
         R"(<form method="post" action="/sign-in">
<p><input name="user" placeholder="any name" maxlength="64" required autofocus>
<p><input name="password" type="password" placeholder="password: demo" required>
<p><button>Sign in</button></form>)";
}

std::string welcome(const std::string& user) {
  return "<h1>You are " + escaped(user) + R"(.</h1>
<form method="post" action="/renew"><button>Renew session</button></form>
<form method="post" action="/sign-out"><button>Sign out</button></form>)";
}

Response plain(unsigned status, std::string text) {
  Response response(status, std::move(text));
  response.content_type = "text/plain; charset=utf-8";
  return response;
}

Response go_home(const std::string& token) {
  Response response(303);
  response.headers.emplace_back("Location", "/");
  response.headers.emplace_back("Set-Cookie", "session=" + token +
                                                  "; Path=/; HttpOnly; SameSite=Lax" +
                                                  (token.empty() ? "; Max-Age=0" : ""));
  return response;
}

// This node does not know (yet): the load balancer may ask another one.
Response unavailable(const muster::Error& error) {
  return plain(503, "cannot tell: " + error.text() + "\n");
}

Response health(bool ready) { return ready ? plain(200, "ready\n") : plain(503, "not ready\n"); }

std::string token_of(const Request& request) { return cookie_value(request.cookies, "session"); }

bool usable(const std::string& user) {
  return !user.empty() && user.size() <= longest_user &&
         std::none_of(user.begin(), user.end(),
                      [](unsigned char c) { return c < ' ' || c == 127; });
}

}  // namespace

asio::awaitable<Response> Login::handle(const Request& request) {
  Response response = co_await route(request);
  response.headers.emplace_back("X-Muster-Node", node_);
  co_return response;
}

asio::awaitable<Response> Login::route(const Request& request) {
  const bool read = request.method == "GET" || request.method == "HEAD";
  const bool post = request.method == "POST";
  if (read && request.path == "/") co_return co_await home(request);
  if (read && request.path == "/whoami") co_return co_await who_am_i(request);
  if (read && request.path == "/healthz") {
    co_return health(ready_());
  }
  if (post && request.path == "/sign-in") co_return co_await sign_in(request);
  if (post && request.path == "/renew") co_return co_await renew(request);
  if (post && request.path == "/sign-out") co_return co_await sign_out(request);
  co_return plain(404, "There is no such page.\n");
}

asio::awaitable<Response> Login::sign_in(const Request& request) {
  const std::string user = form_field(request.body, "user");
  if (!usable(user) || form_field(request.body, "password") != demo_password) {
    co_return Response(403,
                       page(node_, sign_in_form("That did not match.  The password is demo.")));
  }
  const auto token = co_await sessions_.begin(user);
  if (!token) co_return unavailable(token.error());
  co_return go_home(*token);
}

asio::awaitable<Response> Login::renew(const Request& request) {
  const std::string old_token = token_of(request);
  const auto user = co_await sessions_.user_of(old_token);
  if (!user) co_return unavailable(user.error());
  if (!user->has_value()) co_return go_home("");
  const auto token = co_await sessions_.renew(old_token, **user);
  if (!token) co_return unavailable(token.error());
  co_return go_home(*token);
}

asio::awaitable<Response> Login::sign_out(const Request& request) {
  const auto ended = co_await sessions_.end(token_of(request));
  if (!ended) co_return unavailable(ended.error());
  co_return go_home("");
}

asio::awaitable<Response> Login::home(const Request& request) {
  const auto user = co_await sessions_.user_of(token_of(request));
  if (!user) co_return unavailable(user.error());
  const std::string content = user->has_value() ? welcome(**user) : sign_in_form();
  co_return Response(200, page(node_, content));
}

asio::awaitable<Response> Login::who_am_i(const Request& request) {
  const auto user = co_await sessions_.user_of(token_of(request));
  if (!user) co_return unavailable(user.error());
  if (!user->has_value()) co_return plain(401, "nobody " + node_ + "\n");
  co_return plain(200, **user + " " + node_ + "\n");
}

}  // namespace session_web
