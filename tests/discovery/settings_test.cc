// SPDX-License-Identifier: MIT
// Settings: what is read, and the exact words when it is wrong.
#include "muster/discovery/settings.h"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "muster/discovery/settings_reader.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Settings parsed(std::string_view text) { return Settings::parse(text, "m.yaml").value(); }
std::string parse_error(std::string_view text) {
  const auto result = Settings::parse(text, "m.yaml");
  return result ? "no error" : result.error().text();
}

TEST(Settings, ReadsScalarsListsAndMapsWithTheirPlaces) {
  const Settings file = parsed("node:\n  name: a@127.0.0.1\n  ports: [1, 2]\n");
  const Settings* node = file.find("node");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->find("name")->text(), "a@127.0.0.1");
  EXPECT_EQ(node->find("name")->where(), "m.yaml:2:9: ");
  EXPECT_EQ(node->find("ports")->items().size(), 2u);
  EXPECT_EQ(node->find("ports")->items()[1].column(), 14);
}

TEST(Settings, ReadsJson) {
  const Settings file = parsed(R"({"a": {"b": ["c", 1, true, null]}})");
  EXPECT_EQ(file.find("a")->find("b")->items().size(), 4u);
  EXPECT_TRUE(file.find("a")->find("b")->items()[3].is_null());
}

TEST(Settings, AnEmptyFileIsNull) {
  EXPECT_TRUE(parsed("").is_null());
  EXPECT_TRUE(parsed("# only a comment\n").is_null());
}

TEST(Settings, AreBuiltInCppLikeInYaml) {
  const Settings made = Settings::map({{"strategy", "epmd"},
                                       {"hosts", Settings::list({"a@h", "b@h"})},
                                       {"timeout", 5s},
                                       {"port", 4000},
                                       {"enabled", true}});
  Problems problems;
  Fields fields(made, "made", problems);
  EXPECT_EQ(fields.string("strategy"), "epmd");
  EXPECT_THAT(fields.strings("hosts"), ElementsAre("a@h", "b@h"));
  EXPECT_EQ(fields.duration("timeout", 1s), 5s);
  EXPECT_EQ(fields.integer("port", 1), 4000);
  EXPECT_TRUE(fields.boolean("enabled", false));
  fields.finish();
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(made.where(), "");
}

TEST(Settings, ASyntaxErrorNamesItsPlace) {
  EXPECT_THAT(parse_error("a: [1, 2\nb: 3\n"), HasSubstr("m.yaml:2:"));
  EXPECT_THAT(parse_error("a: 1\n  b: 2\n"), HasSubstr("m.yaml:2:4: "));
}

TEST(Settings, ADuplicateKeyIsAnError) {
  EXPECT_EQ(parse_error("a: 1\nb: 2\na: 3\n"),
            "m.yaml:3:1: the key 'a' stands here for the second time");
}

TEST(Settings, AKeyMustBeAWord) {
  EXPECT_EQ(parse_error("? [1, 2]\n: 3\n"), "m.yaml:1:3: a key must be a word");
}

TEST(Settings, ASecondDocumentIsAnError) {
  EXPECT_EQ(parse_error("a: 1\n---\nb: 2\n"), "m.yaml:3:1: a second document; one is enough");
}

TEST(Settings, AliasesRepeatAValue) {
  const Settings file = parsed("base: &b {x: 1}\nother: *b\n");
  EXPECT_EQ(file.find("other")->find("x")->text(), "1");
}

TEST(Settings, AnAliasBombIsAnErrorWithItsPlace) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    const auto number = std::to_string(i);
    std::string items;
    for (int j = 0; j < 10; ++j) items += (j ? ", *a" : "*a") + std::to_string(i - 1);
    text += "a" + number + ": &a" + number + " [" + items + "]\n";
  }
  EXPECT_THAT(parse_error(text), HasSubstr("too many values"));
  EXPECT_THAT(parse_error(text), ::testing::StartsWith("m.yaml:"));
}

TEST(Settings, AnAliasThatHoldsItselfIsAnError) {
  EXPECT_THAT(parse_error("a: &x [1, *x]\n"), HasSubstr("refers to a value that holds it"));
}

TEST(Settings, DepthAndSizeAreBounded) {
  EXPECT_THAT(parse_error(std::string(100, '[') + std::string(100, ']')),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(parse_error(std::string(100'000, '[')), HasSubstr("m.yaml:1:"));
  EXPECT_THAT(parse_error(std::string((1 << 20) + 1, ' ')), HasSubstr("larger than 1 MiB"));
}

TEST(Settings, NoBytesCrashTheParser) {
  std::mt19937 random(7);
  const std::string alphabet = "abc:-[]{}&*#!|>'\"%@` \n\t,?0123~\\";
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (std::size_t i = random() % 60; i > 0; --i) text += alphabet[random() % alphabet.size()];
    SCOPED_TRACE(text);
    (void)Settings::parse(text);
  }
}

TEST(Settings, AMissingFileNamesItself) {
  const auto result = Settings::load("/nonexistent/m.yaml");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(), "cannot read /nonexistent/m.yaml: No such file or directory");
}

TEST(Settings, LoadsAFile) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "settings_loads_a_file.yaml";
  std::ofstream(path) << "a: 1\n";
  EXPECT_EQ(Settings::load(path).value().find("a")->where(), path.string() + ":1:4: ");
}

TEST(SettingsReader, AnUnknownKeyNamesFileLineColumnAndTheNearestName) {
  const Settings file = parsed("topologies:\n  x:\n    config:\n      poll_interval: 5s\n");
  Problems problems;
  Fields config(*file.find("topologies")->find("x")->find("config"), "topologies.x.config",
                problems);
  (void)config.string("query");
  (void)config.duration("polling_interval", 5s);
  config.finish();
  EXPECT_THAT(
      problems.lines(),
      ElementsAre("m.yaml:4:7: unknown key 'poll_interval' in topologies.x.config, did you mean "
                  "'polling_interval'?"));
}

TEST(SettingsReader, AKeyFarFromAllNamesGetsNoGuess) {
  const Settings file = parsed("zebra: 1\n");
  Problems problems;
  Fields fields(file, "", problems);
  (void)fields.string("name");
  fields.finish();
  EXPECT_THAT(problems.lines(), ElementsAre("m.yaml:1:1: unknown key 'zebra'"));
}

TEST(SettingsReader, ReportsAllProblemsAndReadsDefaults) {
  const Settings file = parsed(
      "port: abc\nflag: maybe\nwait: 5 parsecs\nmode: sinc\nname: [1]\nnested: 3\nbig: 70000\n");
  Problems problems;
  Fields fields(file, "listen", problems);
  EXPECT_EQ(fields.integer("port", 4000), 4000);
  EXPECT_TRUE(fields.boolean("flag", true));
  EXPECT_EQ(fields.duration("wait", 7s), 7s);
  enum class Mode { sync, async };
  EXPECT_EQ(fields.choice("mode", Mode::async, {{"sync", Mode::sync}, {"async", Mode::async}}),
            Mode::async);
  EXPECT_EQ(fields.string("name", "x"), "x");
  fields.fields("nested").finish();
  EXPECT_EQ(fields.integer("big", 1, 1, 65535), 1);
  EXPECT_FALSE(fields.require("cookie"));
  fields.finish();
  EXPECT_THAT(
      problems.lines(),
      ElementsAre(
          "m.yaml:1:7: listen.port must be a whole number, not 'abc'",
          "m.yaml:2:7: listen.flag must be true or false, not 'maybe'",
          "m.yaml:3:7: listen.wait must be a time like 500ms, 5s, 1h or infinity, not '5 parsecs'",
          "m.yaml:4:7: listen.mode must be sync or async, not 'sinc', did you mean 'sync'?",
          "m.yaml:5:7: listen.name must be a text, not a list",
          "m.yaml:6:9: listen.nested must be a map, not '3'",
          "m.yaml:7:6: listen.big must be a whole number from 1 to 65535, not '70000'",
          "m.yaml:1:1: listen needs 'cookie'"));
}

TEST(SettingsReader, ANullReadsLikeAnAbsentKey) {
  const Settings file = parsed("port:\nname: ~\n");
  Problems problems;
  Fields fields(file, "", problems);
  EXPECT_EQ(fields.integer("port", 4000), 4000);
  EXPECT_EQ(fields.string("name", "x"), "x");
  fields.finish();
  EXPECT_TRUE(problems.empty());
}

TEST(Duration, IsReadAsLibclusterAndPeopleWriteIt) {
  EXPECT_EQ(parse_duration("500ms").value(), 500ms);
  EXPECT_EQ(parse_duration("5s").value(), 5s);
  EXPECT_EQ(parse_duration("1h").value(), 1h);
  EXPECT_EQ(parse_duration("30m").value(), 30min);
  EXPECT_EQ(parse_duration("5000").value(), 5s);
  EXPECT_EQ(parse_duration("infinity").value(), forever);
  for (const auto bad :
       {"", "s", "-1s", "5 s", "5sec", "1.5s", "99999999999999999999", "9999999999999d"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Duration, IsWrittenAsItIsRead) {
  for (const Duration value :
       std::initializer_list<Duration>{0s, 1ns, 500ms, 5s, 90s, 1h, 48h, forever})
    EXPECT_EQ(parse_duration(duration_text(value)).value(), value);
  EXPECT_EQ(duration_text(5s), "5s");
  EXPECT_EQ(duration_text(1500ms), "1500ms");
}

TEST(Time, AfterForeverIsNever) {
  EXPECT_EQ(after(Instant{} + 5s, forever), never);
  EXPECT_EQ(after(Instant{} + 5s, 1s), Instant{} + 6s);
}

}  // namespace
}  // namespace muster
