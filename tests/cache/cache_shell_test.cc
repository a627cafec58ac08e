// SPDX-License-Identifier: MIT
//
// Whole caches on real nodes over loopback: sharing a table, coming back with a disk, local reads
// beside writes, orderly ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <thread>

#include "cache/cache_host.h"
#include "node/temp_dir.h"

namespace muster::cache {
namespace {

using node::Loop;
using node::settings_of;
using node::TempDir;
using testing::HasSubstr;
using namespace std::chrono_literals;

TEST(CacheShell, TwoNodesShareATable) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  Host b(loop, "b@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  ASSERT_TRUE(a.put("before", "1"));
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(b.node.connect(a.node).connected);
  ASSERT_TRUE(b.ready());
  EXPECT_EQ(b.get("before"), "1");
  const auto written = a.put("after", "2");
  ASSERT_TRUE(written) << written.error().text();
  EXPECT_TRUE(written->acknowledged);
  EXPECT_TRUE(written->everywhere);
  EXPECT_EQ(b.get("after"), "2");
  EXPECT_EQ(b.cache->find_local("session", "after")->value, "2");
  const auto deleted = b.run(b.cache->erase("session", Key("before")));
  ASSERT_TRUE(deleted);
  EXPECT_EQ(deleted->deleted, 1u);
  EXPECT_EQ(a.get("before"), "(none)");
  EXPECT_TRUE(a.node.book.wait_for("table session initiated on a@127.0.0.1"));
  EXPECT_TRUE(b.node.book.wait_for("table session: joined a@127.0.0.1 for b@127.0.0.1"))
      << b.node.book.all();
}

TEST(CacheShell, EveryCallDoesWhatItSays) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  Write batch;
  for (const char* user : {"x", "y", "z"}) {
    Put put;
    put.key = Key({"user", user});
    put.value = user;
    batch.puts.push_back(std::move(put));
  }
  batch.deletes.emplace_back("none");
  ASSERT_TRUE(a.run(a.cache->write("session", batch)));
  const Pattern all_users{{"user", std::nullopt}};
  const auto listed = a.run(a.cache->all("session", all_users));
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->size(), 3u);
  EXPECT_EQ(listed->at(1).second, "y");
  const auto taken = a.run(a.cache->take("session", Key({"user", "y"})));
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->value, "y");
  EXPECT_TRUE(taken->written.acknowledged && taken->written.everywhere);
  const auto touched = a.run(a.cache->touch("session", Key({"user", "x"}), 1h));
  ASSERT_TRUE(touched);
  EXPECT_TRUE(touched->applied);
  const auto found = a.cache->find_local("session", Key({"user", "x"}).encoded());
  ASSERT_TRUE(found);
  EXPECT_GT(found->expiry, a.cache->time() + 59min);
  EXPECT_LT(found->expiry, a.cache->time() + 61min);
  TableDefinition more;
  more.name = "more";
  more.storage = Storage::ram_copies;
  ASSERT_TRUE(a.run(a.cache->create_table(more)));
  EXPECT_TRUE(a.cache->table("more"));
  EXPECT_FALSE(a.cache->table("none"));
  EXPECT_EQ(a.run(a.cache->status()).size(), 2u);
  EXPECT_FALSE(a.run(a.cache->put("none", Key("k"), "v")));
}

TEST(CacheShell, AnExpiredEntryMissesAtOnceAndIsToldOfOnce) {
  Loop loop;
  std::atomic<int> expired = 0;
  Host a(loop, "a@127.0.0.1");
  a.cache->on_event([&](Now, const CacheEvent& event) {
    if (event.kind == CacheEvent::Kind::expired) ++expired;
  });
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  const Timestamp before = a.cache->time();
  ASSERT_TRUE(a.put("k", "v", 100ms));
  while (a.cache->find_local("session", "k")) std::this_thread::yield();
  EXPECT_GE(a.cache->time(), before + 100ms);
  while (expired == 0) std::this_thread::yield();
  EXPECT_LE(a.cache->time(), before + 5s);
  EXPECT_EQ(a.get("k"), "(none)");
  EXPECT_EQ(expired, 1);
}

TEST(CacheShell, EachChangeOfAKeyIsToldOnceToThoseWhoAsked) {
  Loop loop;
  std::mutex lock;
  std::vector<std::string> told;
  std::atomic<int> others = 0;
  Host a(loop, "a@127.0.0.1");
  a.cache->on_change([&](Now, const CacheEvent& event) {
    const std::scoped_lock guard(lock);
    const bool written = event.kind == CacheEvent::Kind::written;
    told.push_back((written ? "written " : "deleted ") + Key::decode(event.key)->parts().front());
  });
  a.cache->on_event([&](Now, const CacheEvent& event) {
    others += event.kind == CacheEvent::Kind::written ? 1 : 0;
  });
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  ASSERT_TRUE(a.put("k", "v"));
  ASSERT_TRUE(a.put("k", "w"));
  ASSERT_TRUE(a.run(a.cache->erase("session", Key("k"))));
  const std::scoped_lock guard(lock);
  EXPECT_THAT(told, ::testing::ElementsAre("written k", "written k", "deleted k"));
  EXPECT_EQ(others, 0);
}

TEST(CacheShell, ARestartAloneFindsWhatWasWritten) {
  Loop loop;
  TempDir directory;
  {
    Host a(loop, "a@127.0.0.1", directory / "a");
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.ready());
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(a.put("k" + std::to_string(i), "v" + std::to_string(i)));
    }
    ASSERT_TRUE(a.run(a.cache->erase("session", Key("k7"))));
  }  // An orderly end stores what was still being gathered.
  Host again(loop, "a@127.0.0.1", directory / "a");
  ASSERT_TRUE(again.start());
  ASSERT_TRUE(again.ready());
  EXPECT_EQ(again.get("k7"), "(none)");
  EXPECT_EQ(again.get("k199"), "v199");
  EXPECT_EQ(again.cache->table("session")->count(), 199u);
  EXPECT_EQ(again.run(again.cache->status()).front().detail.substr(0, 5), "alone");
}

TEST(CacheShell, WhereNobodyMayComeARestartIsReadyWhenItHasStarted) {
  Loop loop;
  TempDir directory;
  for (const bool again : {false, true}) {
    Host a(loop, "a@127.0.0.1", directory / "a", Durability::async, false);
    ASSERT_TRUE(a.start());
    if (again) {
      EXPECT_EQ(a.run(a.cache->status()).front().readiness, Readiness::ready);
    }
    ASSERT_TRUE(a.ready());
    ASSERT_TRUE(a.put("k", "v"));
  }
}

TEST(CacheShell, KeysOfPartsAreListedByPatternInOrderAlsoAfterARestart) {
  Loop loop;
  TempDir directory;
  const auto listed = [](Host& host, const Pattern& pattern) {
    std::string text;
    const auto all = host.run(host.cache->all("session", pattern));
    if (!all) return all.error().text();
    for (const auto& [key, value] : *all) text += key.parts().back() + "=" + value + " ";
    return text;
  };
  const Pattern one_part{{std::nullopt}};
  const Pattern in_namespace{{"namespace", std::nullopt}};
  for (const bool restarted : {false, true}) {
    Host a(loop, "a@127.0.0.1", directory / "a");
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.ready());
    Write write;
    for (const Key& key : {Key("key2"), Key({"namespace", "key"}), Key("key1")}) {
      Put put;
      put.key = key;
      put.value = "value";
      write.puts.push_back(std::move(put));
    }
    if (!restarted) {
      ASSERT_TRUE(a.run(a.cache->write("session", write)));
    }
    EXPECT_EQ(listed(a, one_part), "key1=value key2=value ");
    EXPECT_EQ(listed(a, in_namespace), "key=value ");
  }
}

TEST(CacheShell, AnExpirySurvivesARestartAndEachKeyIsToldOfOnce) {
  Loop loop;
  TempDir directory;
  const std::vector<Key> keys{Key({"one", "key"}), Key({"two", "key1"}), Key({"two", "key2"})};
  const auto expiry_of = [](Host& host, const Key& key) {
    const auto found = host.cache->find_local("session", key.encoded());
    return found ? found->expiry : Expiry{};
  };
  std::map<Key, Expiry> expiries;
  {
    Host a(loop, "a@127.0.0.1", directory / "a");
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.ready());
    for (const Key& key : keys) {
      ASSERT_TRUE(a.run(a.cache->put("session", key, "value", 3s)));
      expiries[key] = expiry_of(a, key);
      EXPECT_GT(expiries[key], a.cache->time());
    }
  }
  std::atomic<int> expired = 0;
  Host again(loop, "a@127.0.0.1", directory / "a");
  again.cache->on_event([&](Now, const CacheEvent& event) {
    if (event.kind == CacheEvent::Kind::expired) ++expired;
  });
  ASSERT_TRUE(again.start());
  ASSERT_TRUE(again.ready());
  for (const Key& key : keys) {
    const Expiry expiry = expiry_of(again, key);  // A slow machine may be past it.
    if (again.cache->time() < expiries[key]) {
      EXPECT_EQ(expiry, expiries[key]);
    }
  }
  while (expired < 3) std::this_thread::yield();
  for (const Key& key : keys) {
    const auto found = again.run(again.cache->get("session", key));
    ASSERT_TRUE(found);
    EXPECT_FALSE(*found);
  }
  EXPECT_EQ(expired, 3);
}

TEST(CacheShell, ARestartIntoTheClusterBringsWhatWasMissed) {
  Loop loop;
  TempDir directory;
  Host a(loop, "a@127.0.0.1", directory / "a");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  {
    Host b(loop, "b@127.0.0.1", directory / "b");
    ASSERT_TRUE(b.start());
    ASSERT_TRUE(b.node.connect(a.node).connected);
    ASSERT_TRUE(b.ready());
    ASSERT_TRUE(b.put("kept", "1"));
    ASSERT_TRUE(b.put("deleted", "1"));
  }
  ASSERT_TRUE(a.put("missed", "2"));
  ASSERT_TRUE(a.run(a.cache->erase("session", Key("deleted"))));
  Host b(loop, "b@127.0.0.1", directory / "b");
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(b.node.connect(a.node).connected);
  ASSERT_TRUE(b.ready());
  EXPECT_EQ(b.get("kept"), "1");
  EXPECT_EQ(b.get("missed"), "2");
  EXPECT_EQ(b.get("deleted"), "(none)");
}

TEST(CacheShell, UnderDurabilitySyncAnAnsweredPutIsOnDisk) {
  Loop loop;
  TempDir directory;
  Host a(loop, "a@127.0.0.1", directory / "a", Durability::sync);
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  for (int i = 0; i < 20; ++i) {
    const auto written = a.put("k" + std::to_string(i), "v");
    ASSERT_TRUE(written);
    EXPECT_TRUE(written->acknowledged);
  }
}

TEST(CacheShell, ASecondProcessOnTheDirectoryIsTurnedAway) {
  Loop loop;
  TempDir directory;
  Host a(loop, "a@127.0.0.1", directory / "shared");
  Host b(loop, "b@127.0.0.1", directory / "shared");
  ASSERT_TRUE(a.open());
  const auto refused = b.open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("is in use by another process"));
}

TEST(CacheShell, ADiscTableWithoutADirectoryIsRefused) {
  Loop loop;
  node::TestNode node(loop, settings_of("a@127.0.0.1"));
  CacheSettings settings;
  Cache cache(node.node(), std::move(settings), Log());
  ASSERT_TRUE(loop.run(node.node().open()));
  const auto refused = loop.run(cache.open());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("session is kept as disc_copies"));
  loop.run(cache.stop());
}

TEST(CacheShell, BlockingCallsWorkFromOutsideAndFailOnTheStrand) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  Put put;
  put.key = Key("k");
  put.value = "v";
  Write write;
  write.puts.push_back(put);
  ASSERT_TRUE(a.cache->write_blocking("session", write));
  EXPECT_EQ(a.cache->get_blocking("session", Key("k")).value(), "v");
  a.node.on_strand([&](Now) {
    const auto refused = a.cache->get_blocking("session", Key("k"));
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("node's own thread"));
  });
}

boost::asio::awaitable<bool> completes_here(Cache& cache, boost::asio::thread_pool& pool) {
  auto got = co_await cache.get("session", Key("k"));
  co_return got.has_value() && pool.get_executor().running_in_this_thread();
}

TEST(CacheShell, ACallCompletesOnTheCallersExecutor) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  boost::asio::thread_pool pool(1);
  EXPECT_TRUE(
      boost::asio::co_spawn(pool, completes_here(*a.cache, pool), boost::asio::use_future).get());
  pool.join();
}

TEST(CacheShell, AfterStopCallsFailAndStoppingAgainIsFine) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  EXPECT_FALSE(a.put("early", "v"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  ASSERT_TRUE(a.put("k", "v"));
  auto one = boost::asio::co_spawn(loop.io(), a.cache->stop(), boost::asio::use_future);
  auto other = boost::asio::co_spawn(loop.io(), a.cache->stop(), boost::asio::use_future);
  one.get();
  other.get();
  const auto refused = a.put("late", "v");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("stopping"));
  EXPECT_EQ(a.cache->find_local("session", "k")->value, "v");
}

TEST(CacheShell, MoreCallsThanMayBeOpenAreRefusedAndWhatIsAnsweredMakesRoom) {
  Loop loop;
  for (const std::size_t most : {0U, 1U}) {
    node::TestNode node(loop, settings_of("a@127.0.0.1"));
    CacheSettings settings;
    settings.tables.front().storage = Storage::ram_copies;
    settings.machine.start_alone_after = 200ms;
    settings.calls_max = most;
    Cache cache(node.node(), std::move(settings), Log());
    ASSERT_TRUE(loop.run(node.node().open()));
    ASSERT_TRUE(loop.run(cache.open()));
    ASSERT_TRUE(node.start());
    ASSERT_TRUE(loop.run(cache.start()));
    ASSERT_TRUE(loop.run(cache.wait_for_tables(20s)));
    for (int i = 0; i < 3; ++i) {
      const auto written = loop.run(cache.put("session", Key("k"), "v"));
      EXPECT_EQ(written.has_value(), most == 1);
      if (most == 0) {
        EXPECT_THAT(written.error().text(), HasSubstr("too many calls"));
      }
    }
    loop.run(cache.stop());
    node.stop();
  }
}

TEST(CacheShell, HandsOffToOthersAtOnceAndToNobodyWhereItIsAlone) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  Host b(loop, "b@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.ready());
  ASSERT_TRUE(a.put("alone", "1"));
  EXPECT_TRUE(a.run(a.cache->hand_off()));
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(b.node.connect(a.node).connected);
  ASSERT_TRUE(b.ready());
  WriteOptions at_once;
  at_once.acknowledge = Acknowledge::async;
  for (int i = 0; i < 100; ++i) {
    Write write;
    write.puts.push_back({.key = Key("last" + std::to_string(i)), .value = "2"});
    ASSERT_TRUE(a.run(a.cache->write("session", std::move(write), at_once)));
  }
  const auto handed = a.run(a.cache->hand_off());
  EXPECT_TRUE(handed) << handed.error().text();
  EXPECT_EQ(b.cache->table("session")->count(), 101u);
  a.stop();
  EXPECT_FALSE(a.run(a.cache->hand_off()));
}

TEST(CacheShell, FourThreadsReadLocallyWhileTwoNodesWrite) {
  Loop loop;
  Host a(loop, "a@127.0.0.1");
  Host b(loop, "b@127.0.0.1");
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(b.node.connect(a.node).connected);
  ASSERT_TRUE(a.ready());
  ASSERT_TRUE(b.ready());
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> wrong = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&, i] {
      const Cache& cache = i % 2 == 0 ? *a.cache : *b.cache;
      for (std::uint64_t round = 0; !over; ++round) {
        const std::string key = "k" + std::to_string(round % 50);
        const auto found = cache.find_local("session", key);
        if (found && found->value.find_first_not_of(found->value[0]) != std::string::npos) ++wrong;
        if (!cache.ready() || !cache.table("session")) ++wrong;
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    Host& writer = i % 2 == 0 ? a : b;
    const std::string value(1 + static_cast<std::size_t>(i % 100), static_cast<char>('a' + i % 26));
    EXPECT_TRUE(writer.put("k" + std::to_string(i % 50), value));
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace muster::cache
