// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An agent without a guest: speaks agent.proto behind the VMM's CONNECT handshake on a Unix socket,
// runs commands as processes of this host and works on its files. A thread a connection: for tests.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_AGENT_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_AGENT_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"
#include "tests/support/supervisor/fake_execution.h"

namespace msb {

class FakeAgent {
 public:
  explicit FakeAgent(std::string socket_path);
  ~FakeAgent();

  // Gets the frame that opens an operation instead of the agent: for hostile answers. True: the
  // connection is done with and closed.
  using Story = std::function<bool(FakeConnection& connection, const msb::agent::v1::Open& open)>;
  void SetStory(Story story);
  using Shutdown = std::function<void(const msb::agent::v1::Shutdown& request)>;
  void OnShutdown(Shutdown on_shutdown);

  // Of the control requests that came.
  int clocks_set() const { return clocks_set_; }
  // Open connections that have sent nothing yet: warm ones.
  int idle_connections() const { return idle_; }
  void WaitForIdleConnections(int count);
  std::shared_ptr<FakeExecution> FindExec(const std::string& id);
  // As if the guest had died.
  void DropAll();

 private:
  void Accept();
  void Serve(const std::shared_ptr<FakeConnection>& connection);
  bool Handshake(FakeConnection& connection);
  void Operate(const std::shared_ptr<FakeConnection>& connection, const msb::agent::v1::Open& open);
  void ServeControl(FakeConnection& connection);
  msb::agent::v1::ControlResponse Answer(const msb::agent::v1::ControlRequest& request);
  void ServeExec(const std::shared_ptr<FakeConnection>& connection,
                 const std::shared_ptr<FakeExecution>& execution);
  void StartExec(const std::shared_ptr<FakeConnection>& connection,
                 const msb::agent::v1::Exec& exec);

  const UniqueFd listener_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Story story_;
  Shutdown on_shutdown_;
  std::map<std::string, std::shared_ptr<FakeExecution>> execs_;
  std::vector<std::shared_ptr<FakeConnection>> connections_;
  std::vector<std::thread> threads_;
  std::atomic<int> clocks_set_ = 0;
  int idle_ = 0;
  bool stopping_ = false;
  std::thread acceptor_;
};

// Serves one file operation on this host's files; false when `open` is none.
bool ServeFakeFiles(FakeConnection& connection, const msb::agent::v1::Open& open);

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_AGENT_H_
