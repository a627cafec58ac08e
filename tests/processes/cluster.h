// SPDX-License-Identifier: MIT
//
// Nodes of the real program `muster` on 127.0.0.1, with ports, cookie, port mapper and directories
// of their own, so that tests can run side by side.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "clients.h"
#include "process.h"

namespace muster::testing {

class Cluster;

/// One node; its name, ports and directory outlive its process.
class TestNode {
 public:
  TestNode(Cluster& cluster, std::string base);

  /// `more`: further flags; `also`: further environment.  Does not wait for anything.
  void start(const std::vector<std::string>& more = {}, const Environment& also = {});
  /// Starts and waits until it is ready; a failed expectation when it is not within 20 s.
  void start_ready(const std::vector<std::string>& more = {}, const Environment& also = {});
  [[nodiscard]] bool ready() const;

  /// A verb of the command line, spoken to this node.
  [[nodiscard]] Finished command(std::vector<std::string> words) const;
  /// One Redis command on a connection of its own.
  [[nodiscard]] std::string redis(const std::vector<std::string>& words) const;
  /// Whether it lists `other` as connected.
  [[nodiscard]] bool sees(const TestNode& other) const;
  /// Who it says is the oldest of its island.
  [[nodiscard]] std::string oldest() const;
  /// What it says of a table: a row of `muster tables --json`; empty while it does not answer.
  [[nodiscard]] boost::json::object table(const std::string& name = "session") const;
  /// Who it says has copies of the table, in order, parted by spaces.
  [[nodiscard]] std::string replicas(const std::string& table_name = "session") const;
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::size_t count_in_log(const std::string& words) const;

  [[nodiscard]] Process& process() { return *process_; }
  [[nodiscard]] std::string name() const { return base_ + "@127.0.0.1"; }
  [[nodiscard]] std::uint16_t http_port() const { return port_; }
  [[nodiscard]] std::uint16_t redis_port() const { return static_cast<std::uint16_t>(port_ + 1); }
  [[nodiscard]] std::filesystem::path directory() const;

  std::string cookie_file;     ///< Of the cluster, unless a test says otherwise.
  std::filesystem::path data;  ///< As `cookie_file`.

 private:
  Cluster& cluster_;
  std::string base_;
  std::uint16_t port_;
  std::unique_ptr<Process> process_;
};

class Cluster : public ::testing::Test {
 public:
  /// The file that all nodes start with.
  void configure(const std::string& yaml);
  /// A static list of these names, and the table `session` with these options.
  void configure_static(const std::vector<std::string>& bases,
                        const std::string& session = "ttl: 1h, on_split: merge");

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }
  [[nodiscard]] std::filesystem::path configuration() const { return directory() / "muster.yaml"; }
  [[nodiscard]] Environment environment() const;

 protected:
  Cluster();
  /// Prints the ends of all logs where an expectation failed.
  void TearDown() override;

 private:
  TemporaryDirectory directory_;
  std::uint16_t mapper_port_;
};

/// All of them list all others within 15 s.
[[nodiscard]] bool form_a_mesh(const std::vector<const TestNode*>& nodes);

/// As form_a_mesh, and the first write is behind them: the table is founded, all of them are ready
/// and have it.
[[nodiscard]] bool form_a_cluster(const std::vector<const TestNode*>& nodes);

/// "127.0.0.1" processes are the program under test; the build says where it is.
[[nodiscard]] std::string muster_program();

/// How often to repeat what should be repeated often: MUSTER_KILLS, or `otherwise`.
[[nodiscard]] int repetitions(int otherwise);

}  // namespace muster::testing
