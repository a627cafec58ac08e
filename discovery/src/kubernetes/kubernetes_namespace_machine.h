// SPDX-License-Identifier: MIT
//
// Knows what one namespace holds: lists it, then watches it.  Pure.
//
//   resting -> reading (token, CA, namespace) -> listing (pages) -> opening -> watching
//
// A watch that ends is opened again where it ended; what is gone there (410) is listed anew, and so
// is all of it every now and then, as a safety net.  Where watching is off or refused, a list every
// polling interval takes its place.  Whatever else fails is reported, keeps what is known, and is
// tried again with backoff.
//
// Invariants: questions are open only in the steps that wait for them; at most `most_members`
// addresses are kept; credentials are read anew before each attempt and never outlive it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "kubernetes/kubernetes_address.h"
#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery::kubernetes {

class NamespaceMachine {
 public:
  struct Options {
    std::string base = {};  ///< Of the API server: api_base().
    Resource resource = Resource::endpoints;
    std::string selector = {};
    bool cached = false;
    bool watch = true;
    Duration polling_interval = std::chrono::seconds(5);
    std::filesystem::path account = {};  ///< The directory of token, ca.crt and namespace.
    std::string space = {};              ///< Empty: the one that the account names.
  };

  /// Calls never come back into the machine from within.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual QuestionId ask(Question question) = 0;
    virtual void withdraw(QuestionId id) = 0;
    virtual void listed(Now now, Duration took) = 0;  ///< All is known, perhaps again.
    virtual void changed(Now now) = 0;                ///< By an event.
    virtual void failed(Now now, std::string reason, Duration took) = 0;
    virtual void note(Level level, std::string text) = 0;
    virtual void count(std::string_view what, std::uint64_t by) = 0;
  };

  NamespaceMachine(Options options, std::uint64_t seed, Owner& owner);

  void start(Now now) { begin(now); }
  void wake(Now now);
  [[nodiscard]] Instant next_wake() const;
  void answer(Now now, QuestionId id, const Answer& answer);

  [[nodiscard]] const std::map<std::string, Members>& objects() const { return objects_; }
  [[nodiscard]] const std::string& space() const { return space_; }
  /// Whether the last attempt succeeded.
  [[nodiscard]] bool is_known() const { return is_known_; }
  /// A list has dropped more than half, and is listed again before anybody relies on it.
  [[nodiscard]] bool is_confirming() const { return is_confirming_; }
  void check_invariants() const;

 private:
  enum class Step { resting, reading, listing, opening, watching };
  enum class File { token, authority, space };

  void begin(Now now);
  void read(File file, const char* name);
  void file_read(Now now, File file, const Result<std::string>& content);
  void take_file(File file, const std::string& content);
  void ask_page();
  void page_came(Now now, const Result<HttpReply>& reply);
  void list_ended(Now now);
  void open_watch();
  void watch_answered(Now now, const Result<HttpReply>& reply);
  void watch_refused(Now now, const HttpReply& reply);
  void line_came(Now now, const std::string& line);
  void take_event(Now now, Event event);
  void apply(Now now, Event& event);
  void watch_ended(Now now, const Result<void>& result);
  void gone(Now now);
  void list_anew(Now now);
  void fail(Now now, std::string reason, std::optional<Duration> retry_after = {});
  void rest(Now now, Duration wait);
  void close_watch(Now now);
  [[nodiscard]] bool watches(Now now) const;
  [[nodiscard]] HttpRequest request(std::string url) const;
  [[nodiscard]] Collection collection() const;
  [[nodiscard]] std::string refused(const HttpReply& reply, std::string_view verb) const;
  [[nodiscard]] bool drops_more_than_half(const std::map<std::string, Members>& next) const;
  [[nodiscard]] Duration jittered(Duration longest);
  [[nodiscard]] std::uint64_t chance();

  const Options options_;
  Owner& owner_;
  std::uint64_t seed_;

  Step step_ = Step::resting;
  Instant rest_until_ = never;
  Instant started_ = {};                // This attempt.
  std::map<QuestionId, File> reading_;  // Files asked for and not read yet.
  std::string file_problem_;            // The first of this attempt.
  std::optional<QuestionId> question_;  // The page, or the watch.
  std::string token_;                   // Of this attempt ...
  std::string authority_;               // ... and what its server is to be signed by.
  Page page_;                           // What the pages so far held.
  std::size_t pages_ = 0;

  std::map<std::string, Members> objects_;
  std::size_t members_ = 0;
  std::string space_;
  std::string resource_version_;  // Where a watch goes on; empty: list first.
  bool is_known_ = false;
  bool is_confirming_ = false;
  bool is_refused_ = false;  // The watch, as it was noted.
  Instant refused_until_ = {};
  Instant listed_at_ = {};
  Instant list_due_ = {};
  Instant opened_at_ = {};
  Backoff retry_{{.first = std::chrono::seconds(1), .most = std::chrono::seconds(30)}};
};

}  // namespace muster::discovery::kubernetes
