// SPDX-License-Identifier: MIT
#include "strategy_shell.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <fstream>

#include "dns/resolver.h"
#include "http/http_client.h"
#include "muster/discovery/clock.h"
#include "muster/discovery/poller.h"
#include "muster/discovery/port_mapper_client.h"
#include "program_runner.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;

Result<std::string> read_file(const ReadFile& question) {
  std::error_code ignored;
  const std::string what = "cannot read " + question.path.string();
  if (std::filesystem::is_directory(question.path, ignored))
    return bad_input(what + ": it is a directory");
  std::ifstream in(question.path, std::ios::binary);
  if (!in) return Error{boost::system::error_code(errno, boost::system::generic_category()), what};
  std::string content(question.most_bytes + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(in.gcount()));
  if (content.size() > question.most_bytes)
    return bad_input(what + ": larger than " + std::to_string(question.most_bytes) + " bytes");
  return content;
}

/// A user's code: whatever it throws is an answer, too.
asio::awaitable<Result<PeerSet>> call_guarded(std::shared_ptr<const DiscoverCall> call) {
  std::string what;
  try {
    co_return co_await (*call)();
  } catch (const std::exception& error) {
    what = error.what();
  }
  co_return bad_input("discover() threw: " + what);
}

asio::awaitable<void> time_passes(Duration duration) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

constexpr std::size_t most_hosts_known = 1000;
constexpr Duration last_words_within = std::chrono::seconds(1);

}  // namespace

StrategyShell::StrategyShell(const asio::any_io_executor& executor, Log log, Report report)
    : log_(std::move(log)),
      report_(std::move(report)),
      timer_(executor),
      group_(executor),
      http_(std::make_unique<HttpClient>(executor)),
      tasks_(executor),
      last_words_(executor) {}

StrategyShell::~StrategyShell() = default;

void StrategyShell::start(const StrategyRegistry::Make& make, const StrategyContext& context) {
  mapper_port_ = context.mapper_port;
  machine_ = make(*this, context);
  machine_->start(read_clock());
  tasks_.spawn(wake_loop());
}

asio::awaitable<void> StrategyShell::stop(LastWords last_words) {
  stopping_ = true;
  co_await tasks_.stop();
  if (machine_ && last_words == LastWords::yes) machine_->stop(read_clock());
  co_await last_words_.finish(last_words_within);
  co_await http_->stop();
}

std::map<std::string, std::uint64_t> StrategyShell::counters() const {
  return machine_->counters();
}

void StrategyShell::report(Pass pass) {
  if (!stopping_) report_(std::move(pass));
}

asio::awaitable<void> StrategyShell::wake_loop() {
  while (true) {
    timer_.expires_at(timer_deadline(machine_->next_wake()));
    co_await timer_.async_wait(await_tuple);
    // An answer or a datagram cancels the wait so that it is armed anew.
    const Now now = read_clock();
    if (!stopping_ && now.mono >= machine_->next_wake()) machine_->wake(now);
  }
}

void StrategyShell::ask(QuestionId id, Question question) {
  if (stopping_)
    last_words_.spawn(perform_any(id, std::move(question)));
  else
    asked_[id] = tasks_.spawn(perform_any(id, std::move(question)));
}

void StrategyShell::withdraw(QuestionId id) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return;
  tasks_.cancel(found->second);
  asked_.erase(found);
}

asio::awaitable<void> StrategyShell::perform_any(QuestionId id, Question question) {
  auto performed = std::visit([&](auto& asked) { return perform(id, std::move(asked)); }, question);
  co_await std::move(performed);
  asked_.erase(id);
}

void StrategyShell::answer(QuestionId id, const Answer& answer) {
  if (stopping_ || !asked_.contains(id)) return;
  machine_->answer(read_clock(), id, answer);
  timer_.cancel();
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, OpenGroup question) {
  std::function<void(Result<void>)> opened = [this, id](Result<void> result) {
    answer(id, GroupOpened{std::move(result)});
  };
  std::function<void(std::string_view)> take = [this](std::string_view bytes) {
    if (stopping_) return;
    const Instant was_due = machine_->next_wake();
    machine_->datagram(read_clock(), bytes);
    if (machine_->next_wake() < was_due) timer_.cancel();  // Most datagrams change nothing.
  };
  std::function<void()> changed = [this, id] { answer(id, GroupChanged{}); };
  co_await group_.serve(std::move(question), std::move(opened), std::move(take),
                        std::move(changed));
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, AskNames question) {
  port_mapper::KnownNames known;
  if (auto kept = known_names_.extract(question.host)) known = std::move(kept.mapped());
  // Two statements: g++ 12 destroys an aggregate twice that is made around a co_await.
  auto names =
      co_await port_mapper::muster_names(question.host, mapper_port_, question.within, known);
  const NamesFound found{std::move(names)};
  if (known_names_.size() < most_hosts_known) known_names_[question.host] = std::move(known);
  answer(id, found);
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, ReadFile question) {
  const FileRead read{read_file(question)};
  answer(id, read);
  co_return;
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, Discover question) {
  auto ended = co_await (call_guarded(question.call) || time_passes(question.within));
  Discovered discovered;
  if (ended.index() == 0)
    discovered.peers = std::get<0>(std::move(ended));
  else
    discovered.peers = Error{asio::error::timed_out, "discover()"};
  answer(id, discovered);
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, LookUp question) {
  const LookedUp found = co_await look_up(std::move(question));
  answer(id, found);
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, HttpRequest question) {
  HttpClient::Take take = [this, id](const Answer& part) { answer(id, part); };
  co_await http_->perform(std::move(question), std::move(take));
}

asio::awaitable<void> StrategyShell::perform(QuestionId id, RunProgram question) {
  ProgramRan ran;
  ran.output = co_await run_program(std::move(question));
  answer(id, ran);
}

}  // namespace muster::discovery
