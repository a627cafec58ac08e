// SPDX-License-Identifier: MIT
#include "lmdb_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace muster::cache {
namespace {

// The layout of LMDB 0.9 on a 64-bit machine, which its file format is bound to.
constexpr std::uint32_t magic = 0xBEEFC0DE;
constexpr std::uint32_t data_version = 1;
constexpr std::size_t header_bytes = 16;
constexpr std::size_t node_bytes = 8;
constexpr std::size_t key_max = 511;
constexpr unsigned depth_max = 32;
constexpr std::uint64_t no_page = ~std::uint64_t{0};
constexpr std::size_t many_pages = 1000;  ///< Worth a second thread.
/// How many a commit may have taken and given back, so that they lie behind the end of the file.
constexpr std::uint64_t unwritten_max = std::uint64_t{1} << 20;
enum PageFlag : std::uint16_t { branch = 1, leaf = 2, overflow = 4 };
enum NodeFlag : std::uint16_t { big_data = 1, sub_data = 2 };

struct Tree {
  std::uint32_t page_size;  // Of the free tree alone.
  std::uint16_t flags;
  std::uint16_t depth;
  std::uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};
struct Meta {
  std::uint32_t magic, version;
  std::uint64_t address, map_bytes;
  Tree free, main;
  std::uint64_t last_page, transaction;
};
static_assert(sizeof(Tree) == 48 && sizeof(Meta) == 136);

struct PageHeader {
  std::uint64_t number;
  std::uint16_t pad, flags;
  std::uint16_t lower, upper;  // Of an overflow page: how many pages, in one.
};
static_assert(sizeof(PageHeader) == header_bytes);

struct Node {
  std::uint16_t low, high, flags, key_size;
};
static_assert(sizeof(Node) == node_bytes);

template <class T>
T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

/// The file, mapped while this lives.
class Mapped {
 public:
  explicit Mapped(const std::filesystem::path& path)
      : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (file_ < 0 || ::fstat(file_, &status) != 0 || status.st_size == 0) return;
    size_ = static_cast<std::size_t>(status.st_size);
    void* map = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED | MAP_POPULATE, file_, 0);
    if (map != MAP_FAILED) data_ = static_cast<const char*>(map);
  }
  ~Mapped() {
    if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
    if (file_ >= 0) ::close(file_);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  [[nodiscard]] std::string_view bytes() const { return {data_, data_ == nullptr ? 0 : size_}; }

 private:
  int file_;
  std::size_t size_ = 0;
  const char* data_ = nullptr;
};

/// Which pages somebody has; any thread.
class Used {
 public:
  explicit Used(std::uint64_t pages) : words_(pages / 64 + 1) {}
  /// False: it was taken before.
  bool take(std::uint64_t page) {
    const std::uint64_t bit = std::uint64_t{1} << page % 64;
    return (words_[page / 64].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }

 private:
  std::vector<std::atomic<std::uint64_t>> words_;
};

/// Walks the trees, level by level, a large one on two threads; the first thing that is wrong ends
/// it.
class Walk {
 public:
  Walk(std::string_view file, std::size_t page_size, std::uint64_t last_page)
      : file_(file), page_size_(page_size), last_page_(last_page), used_(last_page + 1) {}

  std::optional<std::string> run(const Meta& meta) {
    Found names, rest;
    if (!tree(meta.main, Kind::names, names)) return names.damage;
    for (const Tree& table : names.tables) {
      if (!tree(table, Kind::table, rest)) return rest.damage;
    }
    tree(meta.free, Kind::free, rest);
    return rest.damage;
  }

 private:
  enum class Kind { names, table, free };
  using Pages = std::span<const std::uint64_t>;

  /// By one thread, in its part of a level.
  struct Found {
    std::uint64_t entries = 0;
    std::vector<std::uint64_t> children;
    std::vector<Tree> tables;
    std::optional<std::string> damage;

    bool wrong(std::uint64_t page, std::string_view what) {
      if (!damage) damage = fmt::format("page {}: {}", page, what);
      return false;
    }
  };

  /// `count` pages from `first` are there, and nobody else's.
  bool take(std::uint64_t first, std::uint64_t count, Found& found) {
    if (first < 2 || first > last_page_ || count > last_page_ - first + 1) {
      return found.wrong(first, "outside of the file's pages");
    }
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (!used_.take(page)) return found.wrong(page, "used twice");
    }
    return true;
  }
  bool there(std::uint64_t first, std::uint64_t count, Found& found) const {
    const std::uint64_t needed = (first + count) * page_size_;
    if (needed <= file_.size()) return true;
    return found.wrong(first, fmt::format("{} of {} bytes are there", file_.size(), needed));
  }

  bool tree(const Tree& tree, Kind kind, Found& found) {
    constexpr std::uint16_t fixed_map = 1, integer_keys = 8;
    const bool flags_good = kind == Kind::free
                                ? (tree.flags & (fixed_map | integer_keys)) == integer_keys
                                : tree.flags == 0;
    if (!flags_good) return found.wrong(tree.root, "the kind of its keys cannot be");
    if (tree.root == no_page) return true;
    if (tree.depth == 0 || tree.depth > depth_max) {
      return found.wrong(tree.root, "the depth cannot be");
    }
    found.entries = 0;
    std::vector<std::uint64_t> pages{tree.root};
    for (unsigned depth = tree.depth; depth > 0; --depth) {
      found.children.clear();
      if (!level(pages, depth, kind, found)) return false;
      pages.swap(found.children);
    }
    return found.entries == tree.entries ||
           found.wrong(tree.root, "the number of entries is another");
  }

  bool level(Pages pages, unsigned depth, Kind kind, Found& found) {
    if (pages.size() < many_pages) return part(pages, depth, kind, found);
    const std::size_t half = pages.size() / 2;
    Found rest;
    {
      const std::jthread other([&] { part(pages.subspan(half), depth, kind, rest); });
      part(pages.first(half), depth, kind, found);
    }
    found.entries += rest.entries;
    found.children.insert(found.children.end(), rest.children.begin(), rest.children.end());
    found.tables.insert(found.tables.end(), rest.tables.begin(), rest.tables.end());
    if (!found.damage) found.damage = std::move(rest.damage);
    return !found.damage;
  }

  bool part(Pages pages, unsigned depth, Kind kind, Found& found) {
    for (const std::uint64_t number : pages) {
      if (!page(number, depth == 1, kind, found)) return false;
    }
    return true;
  }

  bool page(std::uint64_t number, bool is_leaf, Kind kind, Found& found) {
    if (!take(number, 1, found) || !there(number, 1, found)) return false;
    const char* start = file_.data() + number * page_size_;
    const auto header = load<PageHeader>(start);
    const bool plain = header.number == number && header.flags == (is_leaf ? leaf : branch) &&
                       header.lower >= header_bytes && header.lower % 2 == 0 &&
                       header.lower <= header.upper && header.upper <= page_size_;
    if (!plain) return found.wrong(number, "its header is damaged");
    const std::size_t count = (header.lower - header_bytes) / 2;
    if (count < (is_leaf ? 1U : 2U)) return found.wrong(number, "it is empty");
    std::string_view before;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t offset = load<std::uint16_t>(start + header_bytes + 2 * i);
      if (offset < header.upper || offset + node_bytes > page_size_) {
        return found.wrong(number, "an entry lies outside of it");
      }
      const auto node = load<Node>(start + offset);
      const std::string_view rest(start + offset + node_bytes, page_size_ - offset - node_bytes);
      if (node.key_size > key_max || node.key_size > rest.size()) {
        return found.wrong(number, "a key is too long");
      }
      const std::string_view key = rest.substr(0, node.key_size);
      const bool ordered = kind == Kind::free || i == 0 || before < key || (!is_leaf && i == 1);
      if (!ordered) return found.wrong(number, "its keys are out of order");
      before = key;
      const std::uint64_t low = node.low | std::uint64_t{node.high} << 16;
      if (!is_leaf) {
        found.children.push_back(low | std::uint64_t{node.flags} << 32);
      } else if (!entry(number, node, low, rest.substr(node.key_size), kind, found)) {
        return false;
      }
    }
    if (is_leaf) found.entries += count;
    return true;
  }

  bool entry(std::uint64_t number, const Node& node, std::uint64_t size, std::string_view rest,
             Kind kind, Found& found) {
    std::string_view data = rest.substr(0, size);
    if (node.flags == big_data) {
      if (!big(number, size, rest, data, found)) return false;
    } else if (size > rest.size() || (node.flags & ~sub_data) != 0) {
      return found.wrong(number, "a value is damaged");
    }
    const bool names_one = node.flags == sub_data;
    if (names_one && kind != Kind::names) return found.wrong(number, "an entry is of another kind");
    if (kind == Kind::free) return free_pages(number, node, data, found);
    if (!names_one) return true;
    if (data.size() != sizeof(Tree)) return found.wrong(number, "a table's record is damaged");
    found.tables.push_back(load<Tree>(data.data()));
    return true;
  }

  bool big(std::uint64_t number, std::uint64_t size, std::string_view rest, std::string_view& data,
           Found& found) {
    if (rest.size() < sizeof(std::uint64_t)) return found.wrong(number, "a value is damaged");
    const auto first = load<std::uint64_t>(rest.data());
    const std::uint64_t pages = (header_bytes - 1 + size) / page_size_ + 1;
    if (!take(first, 1, found) || !there(first, pages, found)) return false;
    const char* start = file_.data() + first * page_size_;
    const auto header = load<PageHeader>(start);
    const std::uint64_t said = header.lower | std::uint64_t{header.upper} << 16;
    // More than are needed: a longer value of the same transaction had them before.
    if (header.number != first || header.flags != overflow || said < pages) {
      return found.wrong(first, "its header is damaged");
    }
    if (said > 1 && !take(first + 1, said - 1, found)) return false;
    data = {start + header_bytes, size};
    return true;
  }

  /// A list of free pages, from the last to the first.
  bool free_pages(std::uint64_t number, const Node& node, std::string_view data, Found& found) {
    const auto word = [&](std::size_t at) {
      return load<std::uint64_t>(data.data() + at * sizeof(std::uint64_t));
    };
    const std::size_t words = data.size() / sizeof(std::uint64_t);
    if (node.key_size != sizeof(std::uint64_t) || words == 0 || word(0) > words - 1) {
      return found.wrong(number, "a list of free pages is damaged");
    }
    for (std::uint64_t i = 1; i <= word(0); ++i) {
      if (i > 1 && word(i) >= word(i - 1))
        return found.wrong(number, "free pages are out of order");
      if (!take(word(i), 1, found)) return false;
    }
    return true;
  }

  std::string_view file_;
  std::size_t page_size_;
  std::uint64_t last_page_;
  Used used_;
};

bool is_meta(const Meta& meta) { return meta.magic == magic && meta.version == data_version; }

}  // namespace

Result<std::optional<std::string>> find_damage(const std::filesystem::path& data) {
  const Mapped mapped(data);
  const std::string_view file = mapped.bytes();
  if (file.size() < header_bytes + sizeof(Meta)) return std::optional<std::string>();
  const auto first = load<Meta>(file.data() + header_bytes);
  if (!is_meta(first)) return std::optional<std::string>();
  const std::size_t page_size = first.free.page_size;
  if (page_size < 512 || page_size > 65'536 || (page_size & (page_size - 1)) != 0) {
    return std::optional<std::string>("page 0: the page size cannot be");
  }
  if (file.size() < 2 * page_size) {
    return std::optional<std::string>(fmt::format("{} bytes are all that is there", file.size()));
  }
  const auto second = load<Meta>(file.data() + page_size + header_bytes);
  if (!is_meta(second) || second.free.page_size != page_size) {
    return std::optional<std::string>("page 1: it is no meta page");
  }
  // Commit n writes meta page n mod 2; the other is of the commit before.
  const bool even = first.transaction % 2 == 0, odd = second.transaction % 2 == 1;
  const std::uint64_t apart = first.transaction > second.transaction
                                  ? first.transaction - second.transaction
                                  : second.transaction - first.transaction;
  const bool fresh = first.transaction == 0 && second.transaction == 0;
  if (!fresh && (!even || !odd || apart != 1)) {
    return std::optional<std::string>("the meta pages do not follow one another");
  }
  const Meta& latest = second.transaction > first.transaction ? second : first;
  const std::uint64_t in_map = latest.map_bytes / page_size, in_file = file.size() / page_size;
  if (latest.last_page >= in_map || latest.last_page > in_file + unwritten_max) {
    return std::optional<std::string>(
        fmt::format("the number of pages cannot be: the last one is {}, {} are in the file and {} "
                    "in the map",
                    latest.last_page, in_file, in_map));
  }
  return Walk(file, page_size, latest.last_page).run(latest);
}

}  // namespace muster::cache
