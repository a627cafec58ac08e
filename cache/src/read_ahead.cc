// SPDX-License-Identifier: MIT
#include "read_ahead.h"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace muster::cache {
namespace {

constexpr std::size_t rows_in_block = 512;
constexpr std::size_t blocks_max = 8;

using Block = std::vector<std::pair<std::string_view, std::string_view>>;

/// From one thread to another; an empty block is the end.
class Blocks {
 public:
  void push(Block block) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return blocks_.size() < blocks_max || unwanted_; });
    if (unwanted_) return;
    blocks_.push_back(std::move(block));
    changed_.notify_one();
  }
  Block pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !blocks_.empty(); });
    Block block = std::move(blocks_.front());
    blocks_.pop_front();
    changed_.notify_one();
    return block;
  }
  /// Nobody pops any more.
  void give_up() {
    const std::scoped_lock lock(mutex_);
    unwanted_ = true;
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Block> blocks_;
  bool unwanted_ = false;
};

}  // namespace

int read_ahead(const std::function<int(const UseRow& hand_over)>& find, const UseRow& use) {
  Blocks blocks;
  int code = 0;
  std::thread finder([&] {
    Block block;
    code = find([&](std::string_view key, std::string_view value) {
      block.emplace_back(key, value);
      if (block.size() < rows_in_block) return;
      blocks.push(std::exchange(block, {}));
    });
    if (!block.empty()) blocks.push(std::move(block));
    blocks.push({});
  });
  struct Ends {  // Also when `use` throws.
    Blocks& blocks;
    std::thread& finder;
    ~Ends() {
      blocks.give_up();
      finder.join();
    }
  };
  {
    const Ends ends{blocks, finder};
    for (Block block = blocks.pop(); !block.empty(); block = blocks.pop()) {
      for (const auto& [key, value] : block) use(key, value);
    }
  }
  return code;
}

}  // namespace muster::cache
