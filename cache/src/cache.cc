// SPDX-License-Identifier: MIT
//
// The page of the cache, each call handed to the shell that stands behind it.
#include "muster/cache/cache.h"

#include <cassert>

#include "cache_shell.h"

namespace muster::cache {

namespace asio = boost::asio;

// Runs `work` on the node's strand and comes back to where the caller was.
template <class T>
asio::awaitable<T> Cache::on_strand(Impl& impl, asio::awaitable<T> work) {
  co_return co_await asio::co_spawn(impl.node().strand(), std::move(work), asio::use_awaitable);
}

Cache::Cache(node::Node& node, CacheSettings settings, Log log)
    : impl_(std::make_shared<Impl>(node, std::move(settings), std::move(log))) {}

Cache::~Cache() = default;

asio::awaitable<Result<void>> Cache::open() { co_return co_await on_strand(*impl_, impl_->open()); }

asio::awaitable<Result<void>> Cache::start() {
  co_return co_await on_strand(*impl_, impl_->start());
}

asio::awaitable<Result<void>> Cache::wait_for_tables(Duration progress) {
  co_return co_await on_strand(*impl_, impl_->wait_for_tables(progress));
}

asio::awaitable<Result<void>> Cache::hand_off(Duration limit) {
  co_return co_await on_strand(*impl_, impl_->hand_off(limit));
}

asio::awaitable<void> Cache::stop() { co_await on_strand(*impl_, impl_->stop()); }

namespace {

// What is asked of the machine, as the shell runs it: `work(impl, now, done)`.

auto write_work(std::string table, Write write, WriteOptions options) {
  return [table = std::move(table), write = std::move(write), options](auto& impl, Now now,
                                                                       auto done) mutable {
    impl.machine()->write(now, table, std::move(write), options,
                          [done](Now, Result<Written>&& written) { done(std::move(written)); });
  };
}

Result<std::optional<std::string>> value_of(Result<std::optional<Table::Found>> found) {
  if (!found) return found.error();
  if (!*found) return std::optional<std::string>();
  return std::optional<std::string>(std::move((*found)->value));
}

auto get_work(std::string table, Key key) {
  return [table = std::move(table), key = std::move(key)](auto& impl, Now now, auto done) {
    impl.machine()->get(now, table, key, [done](Now, Result<std::optional<Table::Found>>&& found) {
      done(value_of(std::move(found)));
    });
  };
}

}  // namespace

asio::awaitable<Result<Written>> Cache::put(std::string table, Key key, std::string value,
                                            std::optional<Duration> ttl) {
  Write write;
  Put& put = write.puts.emplace_back();
  put.key = std::move(key);
  put.value = std::move(value);
  put.ttl = ttl;
  return this->write(std::move(table), std::move(write), WriteOptions());
}

asio::awaitable<Result<Written>> Cache::write(std::string table, Write write,
                                              WriteOptions options) {
  return impl_->call<Written>(write_work(std::move(table), std::move(write), options));
}

asio::awaitable<Result<Written>> Cache::erase(std::string table, Key key, WriteOptions options) {
  Write write;
  write.deletes.push_back(std::move(key));
  return this->write(std::move(table), std::move(write), options);
}

asio::awaitable<Result<Written>> Cache::touch(std::string table, Key key,
                                              std::optional<Duration> ttl, WriteOptions options) {
  return impl_->call<Written>([table = std::move(table), key = std::move(key), ttl, options](
                                  Impl& impl, Now now, auto done) {
    impl.machine()->touch(now, table, key, ttl, options,
                          [done](Now, Result<Written>&& written) { done(std::move(written)); });
  });
}

asio::awaitable<Result<Taken>> Cache::take(std::string table, Key key, WriteOptions options) {
  return impl_->call<Taken>(
      [table = std::move(table), key = std::move(key), options](Impl& impl, Now now, auto done) {
        impl.machine()->take(now, table, key, options,
                             [done](Now, Result<Taken>&& taken) { done(std::move(taken)); });
      });
}

asio::awaitable<Result<std::optional<std::string>>> Cache::get(std::string table, Key key) {
  return impl_->call<std::optional<std::string>>(get_work(std::move(table), std::move(key)));
}

asio::awaitable<Result<std::vector<std::pair<Key, std::string>>>> Cache::all(std::string table,
                                                                             Pattern pattern,
                                                                             std::size_t limit) {
  using List = std::vector<std::pair<Key, std::string>>;
  return impl_->call<List>([table = std::move(table), pattern = std::move(pattern), limit](
                               Impl& impl, Now now, auto done) {
    impl.machine()->all(now, table, pattern, limit,
                        [done](Now, Result<List>&& list) { done(std::move(list)); });
  });
}

asio::awaitable<Result<void>> Cache::create_table(TableDefinition definition) {
  return impl_->call<void>([definition = std::move(definition)](Impl& impl, Now now, auto done) {
    done(impl.create_table(now, definition));
  });
}

Result<Written> Cache::write_blocking(std::string table, Write write, WriteOptions options) {
  return impl_->call_blocking<Written>(write_work(std::move(table), std::move(write), options));
}

Result<std::optional<std::string>> Cache::get_blocking(std::string table, Key key) {
  return impl_->call_blocking<std::optional<std::string>>(
      get_work(std::move(table), std::move(key)));
}

std::optional<Table::Found> Cache::find_local(std::string_view table, std::string_view key) const {
  const LocalTables& local = impl_->local();
  const Table* copy = local.look(table);
  return copy != nullptr ? copy->find(key, local.time()) : std::nullopt;
}

std::shared_ptr<const Table> Cache::table(std::string_view name) const {
  return impl_->local().find(name);
}

bool Cache::ready() const { return impl_->local().ready(); }

Timestamp Cache::time() const { return impl_->local().time(); }

asio::awaitable<std::vector<TableStatus>> Cache::status() const {
  co_return co_await on_strand(*impl_, impl_->status());
}

void Cache::on_event(EventHandler handler) { impl_->add_handler(std::move(handler)); }
void Cache::on_change(EventHandler handler) { impl_->add_change_handler(std::move(handler)); }

node::Node& Cache::node() const { return impl_->node(); }

CacheMachine& Cache::machine() {
  assert(impl_->machine() != nullptr);
  return *impl_->machine();
}

}  // namespace muster::cache
