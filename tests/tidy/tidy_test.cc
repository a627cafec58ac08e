// SPDX-License-Identifier: MIT
//
// Checks of the source text itself: what neither the compiler nor clang-tidy can see.  Each rule
// first shows on a planted line that it bites.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> layers{"discovery", "node", "cache",
                                                 "unsplit",   "lab",  "app"};
// A *_machine file is pure: these would let time, chance or the network in by the back door.
constexpr std::array<std::string_view, 13> impure{"boost/asio",     "spdlog",     "::now()",
                                                  "std::thread",    "std::mutex", "shared_mutex",
                                                  "random_device",  "std::rand",  "unordered_",
                                                  "system_clock::", "<fstream>",  "Log log",
                                                  "Log& log"};

struct Line {
  fs::path file;
  int number = 0;
  std::string text;
};

std::string place(const Line& line) {
  return line.file.string() + ":" + std::to_string(line.number) + ": " + line.text;
}

bool is_source(const fs::path& file) {
  return file.extension() == ".h" || file.extension() == ".cc";
}

void read(const fs::path& file, std::vector<Line>& lines) {
  std::ifstream in(file);
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) lines.push_back({file, number, text});
}

std::vector<Line> source_lines(std::string_view folder) {
  std::vector<fs::path> files;
  const fs::path root = fs::path(MUSTER_SOURCE_DIR) / folder;
  if (fs::exists(root))
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (is_source(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Line> lines;
  for (const fs::path& file : files) read(file, lines);
  return lines;
}

/// Every source file of ours; this one, which spells out what it forbids, apart.
const std::vector<Line>& all_source() {
  static const std::vector<Line> all = [] {
    std::vector<Line> lines;
    for (const std::string_view folder :
         {"discovery", "node", "cache", "unsplit", "lab", "app", "examples", "tests"})
      for (Line& line : source_lines(folder))
        if (line.file.filename() != "tidy_test.cc") lines.push_back(std::move(line));
    return lines;
  }();
  return all;
}

/// Text that people read, whatever the language: documents, build files, examples.
std::vector<Line> all_text() {
  std::vector<Line> lines = all_source();
  const fs::path root(MUSTER_SOURCE_DIR);
  for (const char* name : {"README.md", "strategies.yaml", "CMakeLists.txt"})
    if (fs::exists(root / name)) read(root / name, lines);
  for (const auto& folder : {"discovery", "node", "cache", "unsplit", "lab", "app", "examples",
                             "tests", "cmake", ".ci"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder))
      if (entry.is_regular_file() && !is_source(entry.path()) &&
          entry.file_size() < (std::uintmax_t{1} << 20))
        read(entry.path(), lines);
  }
  return lines;
}

bool is_comment(std::string_view text) {
  const std::size_t start = text.find_first_not_of(' ');
  return start != std::string_view::npos && text.substr(start).starts_with("//");
}

TEST(Tidy, AFolderIncludesOnlyTheFoldersBelowIt) {
  ASSERT_FALSE(source_lines("discovery").empty()) << "no sources under " << MUSTER_SOURCE_DIR;
  for (auto layer = layers.begin(); layer != layers.end(); ++layer)
    for (const Line& line : source_lines(*layer))
      for (auto above = layer + 1; above != layers.end(); ++above)
        EXPECT_EQ(line.text.find("#include \"muster/" + std::string(*above) + "/"),
                  std::string::npos)
            << place(line) << ": " << *layer << " includes " << *above;
}

TEST(Tidy, MachinesArePure) {
  for (const Line& line : all_source()) {
    if (line.file.stem().string().find("_machine") == std::string::npos) continue;
    if (line.file.stem().string().ends_with("_test") || is_comment(line.text)) continue;
    for (const auto banned : impure)
      EXPECT_EQ(line.text.find(banned), std::string::npos)
          << place(line) << ": " << banned << " in a pure file";
  }
}

TEST(Tidy, LinesFitIn100Columns) {
  for (const Line& line : all_source()) {
    const auto columns = std::count_if(line.text.begin(), line.text.end(), [](char byte) {
      return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;  // Not the tail of a UTF-8 letter.
    });
    EXPECT_LE(columns, 100) << place(line);
  }
}

TEST(Tidy, EveryFileOpensWithItsLicence) {
  for (const Line& line : all_source())
    if (line.number == 1) {
      EXPECT_EQ(line.text, "// SPDX-License-Identifier: MIT") << place(line);
    }
}

// The pause between two looks at a foreign process, which has no other way to tell.
constexpr std::array<std::string_view, 1> known_exceptions{
    "void pause_briefly() { std::this_thread::sleep_for(20ms); }"};

bool is_known_exception(std::string_view text) {
  return std::find(known_exceptions.begin(), known_exceptions.end(), text) !=
         known_exceptions.end();
}

/// Nothing in `lines` matches `pattern`, which does match each of `planted`.
void expect_absent(const std::vector<Line>& lines, const std::string& pattern,
                   const std::vector<std::string>& planted, const std::string& instead) {
  const std::regex expression(pattern, std::regex::ECMAScript | std::regex::optimize);
  for (const std::string& text : planted)
    EXPECT_TRUE(std::regex_search(text, expression)) << "the rule does not bite: " << text;
  for (const Line& line : lines) {
    if (line.file.filename() == "tidy_test.cc" || line.text.size() > 4000) continue;
    if (is_known_exception(line.text)) continue;
    EXPECT_FALSE(std::regex_search(line.text, expression)) << place(line) << ": " << instead;
  }
}

TEST(Tidy, NothingIsLeftForLater) {
  expect_absent(all_text(), R"(\b(TODO|FIXME|XXX|HACK)\b)", {"// TODO: later", "# FIXME"},
                "do it or leave it");
}

TEST(Tidy, NobodySleeps) {
  expect_absent(all_source(), R"(sleep_for|sleep_until|\busleep\(|\bnanosleep\()",
                {"std::this_thread::sleep_for(1s);", "usleep(3);"}, "wait for what you wait for");
}

TEST(Tidy, NoCoroutineIsDetached) {
  expect_absent(
      all_source(), R"(\basio::detached\b|[(, ]detached\))",
      {"co_spawn(executor, run(), asio::detached);", "co_spawn(executor, run(), detached)"},
      "every child has an owner that awaits it");
}

TEST(Tidy, NoTestIsSkippedOrEmpty) {
  expect_absent(source_lines("tests"), R"(EXPECT_TRUE\(true\)|TEST(_F|_P)?\([^)]*DISABLED_)",
                {"EXPECT_TRUE(true);", "TEST(Thing, DISABLED_Works) {"},
                "a test that tests nothing");
}

// g++ 12 destroys twice: an aggregate temporary or a lambda with by-value captures in a statement
// with co_await.
TEST(Tidy, CoAwaitStatementsHoldOnlyNamedLocals) {
  const std::string captures = R"(co_await[^;]*[(,=\s]\[(=|[a-z_]+[\],=]))";
  const std::string braces = R"(co_await[^;]*(\(\{|,\s*\{|[^:\w][A-Z]\w*\{))";
  const std::string inside = R"(\b[A-Z]\w* [a-z_]+\{[^;}]*co_await)";
  std::vector<Line> statements;
  for (const Line& line : all_source())
    if (!is_comment(line.text) && line.text.find("[this]") == std::string::npos)
      statements.push_back(line);
  expect_absent(statements, captures + "|" + braces + "|" + inside,
                {"co_await run([state]() { return state; });", "co_await run([=] {});",
                 "co_await serve(Options{1, 2});", "co_await serve({.port = 1});",
                 "const Peer peer{name, co_await resolve(name)};"},
                "name it first and std::move it in");
}

TEST(Tidy, TheProjectSpeaksOfItselfAlone) {
  const std::vector<Line> lines = all_text();
  expect_absent(lines, R"((^|[^A-Za-z0-9._/-])/(work|farm|root)/)", {"see /work/notes.md"},
                "a path of one machine");
  expect_absent(lines, R"(\b[Ii]ssue #?[0-9]+\b)", {"see issue 2", "fixes Issue #7"},
                "an issue number");
}

}  // namespace
