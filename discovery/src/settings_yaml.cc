// SPDX-License-Identifier: MIT
// Settings from YAML: the one place that knows yaml-cpp.  The tree is built from the parser's
// events, not from its nodes, so that duplicate keys, aliases and sizes are judged here, each with
// its place.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "muster/discovery/settings.h"

namespace muster {
namespace {

constexpr std::size_t max_bytes = 1 << 20;
constexpr std::size_t max_values = 100'000;
constexpr std::size_t max_depth = 64;

std::size_t count_values(const Settings& settings) {
  std::size_t count = 1;
  for (const Settings& item : settings.items()) count += count_values(item);
  for (const auto& entry : settings.entries()) count += 1 + count_values(entry.value);
  return count;
}

std::size_t depth_of(const Settings& settings) {
  std::size_t deepest = 0;
  for (const Settings& item : settings.items()) deepest = std::max(deepest, depth_of(item));
  for (const auto& entry : settings.entries()) deepest = std::max(deepest, depth_of(entry.value));
  return deepest + 1;
}

}  // namespace

class SettingsBuilder : public YAML::EventHandler {
 public:
  explicit SettingsBuilder(std::string source)
      : source_(std::make_shared<const std::string>(std::move(source))) {}

  [[nodiscard]] Settings take() { return std::move(root_); }
  [[nodiscard]] bool has_root() const { return has_root_; }
  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
    throw std::invalid_argument(value_at(mark).where() + what);
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(mark, anchor, value_at(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& text) override {
    Settings settings = value_at(mark);
    settings.kind_ = Settings::Kind::scalar;
    settings.text_ = text;
    add(mark, anchor, std::move(settings));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "this alias refers to a value that holds it");
    values_ += count_values(found->second) - 1;
    if (open_.size() + depth_of(found->second) > max_depth) fail(mark, "nested too deeply");
    add(mark, 0, found->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, anchor, Settings::Kind::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(mark, anchor, Settings::Kind::map);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    Settings settings;
    YAML::Mark mark;
    YAML::anchor_t anchor;
    std::optional<Settings> key;  // Of a map: the key that waits for its value.
  };

  [[nodiscard]] Settings value_at(const YAML::Mark& mark) const {
    Settings settings;
    settings.source_ = source_;
    settings.line_ = mark.line + 1;
    settings.column_ = mark.column + 1;
    return settings;
  }

  void start(const YAML::Mark& mark, YAML::anchor_t anchor, Settings::Kind kind) {
    if (open_.size() >= max_depth) fail(mark, "nested too deeply");
    Settings settings = value_at(mark);
    settings.kind_ = kind;
    open_.push_back({std::move(settings), mark, anchor, std::nullopt});
  }

  void end() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(done.mark, done.anchor, std::move(done.settings));
  }

  void add(const YAML::Mark& mark, YAML::anchor_t anchor, Settings settings) {
    if (++values_ > max_values) fail(mark, "too many values; do aliases repeat each other?");
    if (anchor != 0) anchors_[anchor] = settings;
    if (open_.empty()) {
      if (std::exchange(has_root_, true)) fail(mark, "a second document; one is enough");
      root_ = std::move(settings);
      return;
    }
    Open& parent = open_.back();
    if (parent.settings.kind_ == Settings::Kind::list)
      parent.settings.items_.push_back(std::move(settings));
    else if (!parent.key)
      take_key(mark, parent, std::move(settings));
    else
      parent.settings.entries_.push_back(
          {*std::exchange(parent.key, std::nullopt), std::move(settings)});
  }

  void take_key(const YAML::Mark& mark, Open& parent, Settings key) const {
    if (key.kind_ != Settings::Kind::scalar) fail(mark, "a key must be a word");
    if (parent.settings.find(key.text_))
      fail(mark, "the key '" + key.text_ + "' stands here for the second time");
    parent.key = std::move(key);
  }

  std::shared_ptr<const std::string> source_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Settings> anchors_;
  Settings root_;
  bool has_root_ = false;
  std::size_t values_ = 0;
};

Result<Settings> Settings::parse(std::string_view text, const std::string& source) {
  if (text.size() > max_bytes) return bad_input(source + ": larger than 1 MiB");
  SettingsBuilder builder(source);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    return bad_input(source + ":" + std::to_string(error.mark.line + 1) + ":" +
                     std::to_string(error.mark.column + 1) + ": " + error.msg);
  } catch (const std::invalid_argument& error) {
    return bad_input(error.what());
  }
  return builder.take();
}

Result<Settings> Settings::load(const std::filesystem::path& file) {
  std::error_code problem;
  if (std::filesystem::is_directory(file, problem))
    return bad_input("cannot read " + file.string() + ": it is a directory");
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const int code = errno;
    return Error{boost::system::error_code(code, boost::system::generic_category()),
                 "cannot read " + file.string()};
  }
  std::string text(max_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse(text, file.string());
}

}  // namespace muster
