// SPDX-License-Identifier: MIT
// The verbs and flags; the one unit that knows CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "options.h"

namespace muster::app::cli {
namespace {

using Verb = int (*)(const Options&);

class CommandLine {
 public:
  explicit CommandLine(Options& options) : options_(options) {
    app_.description("muster gathers nodes and keeps tables on all of them.");
    app_.set_version_flag("--version", "muster " MUSTER_VERSION);
    app_.require_subcommand(1);
    app_.footer(
        "Examples:\n"
        "  muster start --sname a --port 4000      one node; again with b and 4002 makes two\n"
        "  muster nodes --port 4002                who is here, as the second one sees it\n"
        "  muster put greeting hello; muster get greeting --port 4002\n\n"
        "Verbs find their node by --port, MUSTER_PORT or MUSTER_URL (http://127.0.0.1:4000).\n"
        "Exit status: 0 done, 1 failed, 2 wrong use.");
    add_start();
    add_offline();
    add_views();
    add_verbs();
    add_unsplit();
    add_fault();
    add_topology();
  }

  int run(int count, char** words) {
    if (count > 1 && !knows(words[1])) return usage;
    try {
      app_.parse(count, words);
    } catch (const CLI::ParseError& error) {
      const int status = app_.exit(error, std::cout, std::cerr);
      return status == 0 ? success : usage;
    }
    return verb_(options_);
  }

 private:
  /// A verb that does not exist is told with the nearest that does.
  bool knows(const std::string& word) {
    if (word.starts_with('-')) return true;
    std::vector<std::string> verbs;
    for (const CLI::App* sub : app_.get_subcommands(nullptr)) verbs.push_back(sub->get_name());
    if (std::ranges::find(verbs, word) != verbs.end()) return true;
    fail("unknown command '" + word.substr(0, 60) + "'" + did_you_mean(word, verbs) +
         " (muster --help lists them)");
    return false;
  }

  CLI::App* add(CLI::App& parent, const char* name, const char* help, const char* examples,
                Verb verb) {
    CLI::App* sub = parent.add_subcommand(name, help);
    sub->footer(std::string("Examples:\n") + examples);
    sub->callback([this, verb] { verb_ = verb; });
    return sub;
  }
  template <class T>
  static CLI::Option* option(CLI::App* app, const char* name, T& value, const char* help) {
    return app->add_option(name, value, help)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  static void option(CLI::App* app, const char* name, std::optional<std::string>& value,
                     const char* help) {
    app->add_option_function<std::string>(
           name, [&value](const std::string& text) { value = text; }, help)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  /// For verbs that speak to a running node.
  CLI::App* speaks(CLI::App* app) {
    option(app, "--port", options_.port, "HTTP port of the node, or HOST:PORT (127.0.0.1:4000)");
    option(app, "--password-file", options_.password_file, "File with the node's password");
    app->add_flag("--json", options_.json, "For programs: JSON");
    return app;
  }
  CLI::App* has_table(CLI::App* app) {
    option(app, "--table", options_.table, "The table (session)")->each([this](const std::string&) {
      options_.table_given = true;
    });
    return app;
  }
  void has_words(CLI::App* app, const char* name, const char* help, int least, int most = 1 << 16) {
    app->add_option(name, options_.words, help)->required(least > 0)->expected(least, most);
  }

  void add_node_flags(CLI::App* app) {
    app->add_option("FILE", options_.file, "Configuration, YAML; see strategies.yaml");
    Overrides& o = options_.overrides;
    option(app, "--topology", o.topology, "Run this topology of FILE, enabled or not");
    option(app, "--cookie-file", o.cookie_file,
           "The secret that all nodes share (~/.muster.cookie)");
    option(app, "--name", o.name, "Long name, a@127.0.0.1 or a@host.example.org");
    option(app, "--sname", o.sname, "Short name: a becomes a@<this host>");
    option(app, "--bind", o.bind, "Address of links, port mapper and gossip (127.0.0.1)");
    option(app, "--log-level", o.log_level, "debug, info, warn or error (info)");
  }

  void add_start() {
    CLI::App* app = add(app_, "start", "Start a node and stay with it until it is told to end",
                        "  muster start --sname a --port 4000\n"
                        "  muster start strategies.yaml --topology local --name a@127.0.0.1\n"
                        "  muster start cluster.yaml --wait-for 2 --wait-deadline 1m\n"
                        "SIGHUP reads topologies and `connect:` of FILE again; SIGTERM leaves.\n",
                        start);
    add_node_flags(app);
    Overrides& o = options_.overrides;
    option(app, "--port", o.port, "HTTP port (4000); the Redis port is the one after it");
    option(app, "--resp-port", o.resp_port, "Redis port, where it is to be another one");
    option(app, "--dir", o.dir, "Where tables are kept (./muster-data/<full name>)");
    option(app, "--link-port", o.link_port, "Port of links, N or A-B for firewalls (any)");
    option(app, "--password-file", o.password_file, "First line: what clients must know");
    option(app, "--wait-for", o.wait_for,
           "Peers to wait for before it is up: how many, or names like b@host,c@host");
    option(app, "--wait-deadline", o.wait_deadline, "How long; then it ends with status 1 (30s)");
    app->add_flag("--allow-fault-injection", o.allow_fault_injection, "muster fault works on it");
    app->add_flag("--show-keys", o.show_keys, "Listings show keys as they are, not hashed");
  }

  void add_offline() {
    CLI::App* checks = add(app_, "check", "Read a configuration and report every mistake in it",
                           "  muster check strategies.yaml\n", check);
    checks->add_option("FILE", options_.file, "The file")->required();
    CLI::App* sees = add(app_, "discover", "Show what each topology sees, without a node",
                         "  muster discover strategies.yaml --topology local --once\n", discover);
    add_node_flags(sees);
    sees->add_flag("--once", options_.once, "End after three intervals");
    sees->add_flag("--json", options_.json, "For programs: one JSON object a line");
    CLI::App* lists = add(app_, "names", "List the names at a host's port mapper",
                          "  muster names\n  muster names db.example.org\n", names);
    lists->add_option("HOST", options_.host, "The host (127.0.0.1)");
    lists->add_flag("--json", options_.json, "For programs: JSON");
  }

  void add_views() {
    speaks(add(app_, "status", "A node at a glance", "  muster status --port 4002\n", status));
    speaks(add(app_, "nodes", "Who is here, who is away", "  muster nodes --json\n", nodes));
    speaks(add(app_, "tables", "The tables and how ready they are", "  muster tables\n", tables));
    speaks(add(app_, "topologies", "What each topology lists, and why a peer is not linked",
               "  muster topologies\n", topologies));
    CLI::App* lists = has_table(speaks(add(
        app_, "list", "List keys, hashed unless --show-keys",
        "  muster list\n  muster list user _ --show-keys\n  muster list user '*'\n", list_keys)));
    has_words(lists, "PART", "Parts of the key; _ is any part, a last * any further ones", 0);
    lists->add_flag("--show-keys", options_.show_keys, "Keys as they are");
  }

  void add_verbs() {
    CLI::App* dials = speaks(add(app_, "connect", "Connect to a node",
                                 "  muster connect b@127.0.0.1\n"
                                 "  muster connect b@host --address 10.0.0.7:4371\n",
                                 connect));
    has_words(dials, "NODE", "name@host", 1, 1);
    option(dials, "--address", options_.address, "Where its links are, when no port mapper knows");
    has_words(speaks(add(app_, "disconnect", "Close the link to a node",
                         "  muster disconnect b@127.0.0.1\n", disconnect)),
              "NODE", "name@host", 1, 1);
    has_words(speaks(add(app_, "forget", "Strike a dead node off; needs a majority",
                         "  muster forget b@127.0.0.1\n", forget)),
              "NODE", "name@host", 1, 1);
    speaks(add(app_, "leave", "The node says good-bye and ends", "  muster leave --port 4002\n",
               leave));
    has_words(has_table(speaks(add(app_, "get", "Print the value of a key",
                                   "  muster get greeting\n  muster get user 42 --table jobs\n",
                                   get_key))),
              "PART", "Parts of the key", 1);
    CLI::App* puts = has_table(speaks(add(app_, "put", "Put a value",
                                          "  muster put greeting hello --ttl 30m\n"
                                          "  muster put user 42 - < file\n",
                                          put_key)));
    has_words(puts, "PART... VALUE", "Parts of the key, then the value; - reads it", 2);
    option(puts, "--ttl", options_.ttl, "How long it lives, like 30m (the table's own)");
    has_words(has_table(speaks(
                  add(app_, "delete", "Delete a key", "  muster delete greeting\n", delete_key))),
              "PART", "Parts of the key", 1);
  }

  void add_unsplit() {
    CLI::App* group = app_.add_subcommand("unsplit", "Splits, heals and what they set aside");
    group->require_subcommand(1);
    speaks(add(*group, "status", "Heals so far, and what is apart", "  muster unsplit status\n",
               unsplit_status));
    CLI::App* shows =
        has_table(speaks(add(*group, "journal", "Values that heals set aside on this node",
                             "  muster unsplit journal --table session\n", unsplit_journal)));
    shows->add_flag("--show-keys", options_.show_keys, "Keys as they are, not hashed");
    has_words(has_table(speaks(add(*group, "replay", "Put a value of the journal again",
                                   "  muster unsplit replay 91f3a2c4d5e6f708\n", unsplit_replay))),
              "RECORD", "As the journal names it", 1, 1);
  }

  void add_fault() {
    CLI::App* group = app_.add_subcommand("fault", "Cut links, for demos and tests");
    group->require_subcommand(1);
    has_words(speaks(add(*group, "cut", "Nothing passes between two nodes; ask one of them",
                         "  muster fault cut a@127.0.0.1 b@127.0.0.1\n", fault_cut)),
              "NODE", "Two nodes", 2, 2);
    speaks(
        add(*group, "heal", "All that was cut works again", "  muster fault heal\n", fault_heal));
  }

  void add_topology() {
    CLI::App* group = app_.add_subcommand("topology", "Change the topologies of a running node");
    group->require_subcommand(1);
    const auto changes = [&](const char* name, const char* help, const char* examples, Verb verb) {
      has_words(speaks(add(*group, name, help, examples, verb)), "NAME", "The topology", 1, 1);
    };
    changes("add", "Start one of the node's own file, read again, enabled there or not",
            "  muster topology add lan\n", topology_add);
    changes("pause", "It looks no more; its peers are neither dialled nor disconnected",
            "  muster topology pause lan\n", topology_pause);
    changes("resume", "It goes on", "  muster topology resume lan\n", topology_resume);
    changes("refresh", "It looks around anew, and dials at once who is not linked",
            "  muster topology refresh lan\n", topology_refresh);
    changes("remove", "It ends; links stay", "  muster topology remove lan\n", topology_remove);
  }

  Options& options_;
  CLI::App app_{"muster", "muster"};
  Verb verb_ = nullptr;
};

}  // namespace

int run(int count, char** words) {
  Options options;
  options.program = words;
  return CommandLine(options).run(count, words);
}

}  // namespace muster::app::cli
