// SPDX-License-Identifier: MIT
//
// A fuzzer that needs nothing but g++: runs LLVMFuzzerTestOneInput on a corpus, then on seeded
// mutations of it, keeping those that reach code that none had reached (the parser under test is
// compiled with -fsanitize-coverage=trace-pc, and
// __sanitizer_cov_trace_pc below sees where it goes).  An input that crashes is written to
// ./crash-NAME before the process dies, to be added to the corpus with the fix.
//
//   NAME_fuzz CORPUS_DIRECTORY...     MUSTER_FUZZ_SECONDS (15), MUSTER_FUZZ_SEED (1)
//   NAME_fuzz FILE                    runs that input alone
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" void __sanitizer_cov_trace_pc();
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr std::size_t longest_input = 16 * 1024;
constexpr std::size_t most_kept = 4096;

std::array<std::uint8_t, 1 << 16> reached{};
bool reached_new = false;

const std::string* input_at_hand = nullptr;
std::string crash_file;

void save_input() {
  if (!input_at_hand) return;
  const int file = open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  const auto written = write(file, input_at_hand->data(), input_at_hand->size());
  close(file);
  constexpr char words[] = "fuzz_driver: the input was saved to ./crash-*\n";
  if (written >= 0) (void)!write(2, words, sizeof(words) - 1);
}

void aborted(int) {
  save_input();
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

bool run(const std::string& input) {  // true: it reached new code
  // A copy of its own on the heap: one byte too far is then seen by AddressSanitizer.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  input_at_hand = &input;
  reached_new = false;
  (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  input_at_hand = nullptr;
  return reached_new;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  std::string mutate(std::string input, const std::string& other) {
    for (std::size_t rounds = 1 + below(4); rounds > 0; --rounds) change(input, other);
    if (input.size() > longest_input) input.resize(longest_input);
    return input;
  }

 private:
  void change(std::string& input, const std::string& other) {
    const std::size_t at = below(input.size() + 1);
    switch (below(9)) {
      case 0:
        overwrite(input, at, 1, random_());
        break;
      case 1:
        overwrite(input, at, std::size_t{1} << below(4), interesting());
        break;
      case 2:
        flip_bit(input, at);
        break;
      case 3:
        input.insert(at, 1, static_cast<char>(random_()));
        break;
      case 4:
        input.erase(at, 1 + below(8));
        break;
      case 5:
        input.resize(at);
        break;
      case 6:
        input.insert(at, input.substr(below(input.size() + 1), 1 + below(64)));
        break;
      case 7:
        input.insert(at, other.substr(below(other.size() + 1), 1 + below(64)));
        break;
      default:
        input = input.substr(0, at) + other.substr(below(other.size() + 1));
    }
  }

  static void flip_bit(std::string& input, std::size_t at) {
    if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << (at % 8)));
  }

  void overwrite(std::string& input, std::size_t at, std::size_t width, std::uint64_t value) {
    const bool big_endian = below(2) == 0;
    for (std::size_t i = 0; i < width && at + i < input.size(); ++i) {
      const std::size_t byte = big_endian ? width - 1 - i : i;
      input[at + i] = static_cast<char>(value >> (8 * byte));
    }
  }

  // Lengths and counts at which parsers have broken before.
  std::uint64_t interesting() {
    constexpr std::uint64_t values[] = {
        0,           1,           4,     16,    127,   128,   255,      256,
        1023,        1024,        32767, 32768, 65535, 65536, 1u << 20, 0x7fffffff,
        0x80000000u, 0xffffffffu, ~0ull, '\n',  '\r',  '"',   '\'',     '.'};
    return values[below(std::size(values))];
  }

  std::mt19937_64 random_;
};

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::vector<std::string> read_corpus(int count, char** paths) {
  std::vector<std::string> corpus;
  for (int i = 0; i < count; ++i) {
    if (!std::filesystem::is_directory(paths[i])) {
      corpus.push_back(read_file(paths[i]));
      continue;
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(paths[i])) files.push_back(entry);
    std::sort(files.begin(), files.end());
    for (const auto& file : files) corpus.push_back(read_file(file));
  }
  return corpus;
}

}  // namespace

// Called at every basic block of instrumented code.
void __sanitizer_cov_trace_pc() {
  const auto place = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  const std::size_t slot = (place ^ (place >> 16)) & (reached.size() - 1);
  if (reached[slot] == 0) {
    reached[slot] = 1;
    reached_new = true;
  }
}

int main(int count, char** arguments) {
  crash_file = "crash-" + std::filesystem::path(arguments[0]).filename().string();
  std::signal(SIGABRT, aborted);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_input);

  auto corpus = read_corpus(count - 1, arguments + 1);
  for (const auto& input : corpus) run(input);
  std::cout << corpus.size() << " inputs of the corpus are fine\n";
  if (count == 2 && !std::filesystem::is_directory(arguments[1])) return 0;

  const auto seed = number_from("MUSTER_FUZZ_SEED", 1);
  const auto seconds = std::chrono::seconds(number_from("MUSTER_FUZZ_SECONDS", 15));
  std::cout << "mutations with MUSTER_FUZZ_SEED=" << seed << " for " << seconds.count() << " s\n"
            << std::flush;
  if (corpus.empty()) corpus.emplace_back();
  Mutator mutator(seed);
  std::uint64_t runs = 0, kept = 0;
  const auto end = std::chrono::steady_clock::now() + seconds;
  while (std::chrono::steady_clock::now() < end) {
    std::string input =
        mutator.mutate(corpus[mutator.below(corpus.size())], corpus[mutator.below(corpus.size())]);
    ++runs;
    if (run(input) && corpus.size() < most_kept) {
      ++kept;
      corpus.push_back(std::move(input));
    }
  }
  std::cout << runs << " runs, " << kept << " of them reached new code\n";
  return 0;
}
