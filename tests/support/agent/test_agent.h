// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A whole agent on a thread of the test.

#ifndef MSB_TESTS_SUPPORT_AGENT_TEST_AGENT_H_
#define MSB_TESTS_SUPPORT_AGENT_TEST_AGENT_H_

#include <sys/socket.h>

#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "guest-agent/agent.h"
#include "tests/support/agent/agent_client.h"

namespace msb {

// Remembers what it was asked for.
class FakeGuest final : public Guest {
 public:
  absl::Status SetClock(uint64_t nanoseconds) override {
    absl::MutexLock lock(&mutex_);
    clock_ = nanoseconds;
    return absl::OkStatus();
  }
  agent::v1::GuestStats Stats() override {
    agent::v1::GuestStats stats;
    stats.set_processes(7);
    return stats;
  }
  void BeginShutdown(const ShutdownRequest& request) override {
    absl::MutexLock lock(&mutex_);
    shutdown_ = request;
  }

  uint64_t clock() const {
    absl::MutexLock lock(&mutex_);
    return clock_;
  }
  std::optional<ShutdownRequest> shutdown() const {
    absl::MutexLock lock(&mutex_);
    return shutdown_;
  }

 private:
  mutable absl::Mutex mutex_;
  uint64_t clock_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<ShutdownRequest> shutdown_ ABSL_GUARDED_BY(mutex_);
};

class TestAgent {
 public:
  explicit TestAgent(const AgentOptions& options = {}) {
    BlockSignals();
    auto agent = Agent::Create(guest_, options);
    MSB_CHECK(agent.ok());
    agent_ = *std::move(agent);
    thread_ = std::thread([this] { MSB_CHECK(agent_->Run().ok()); });
  }
  TestAgent(const TestAgent&) = delete;
  TestAgent& operator=(const TestAgent&) = delete;
  ~TestAgent() {
    agent_->loop().Stop();
    thread_.join();
  }

  AgentClient Connect() {
    int sockets[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    UniqueFd ours(sockets[0]);
    const int theirs = sockets[1];
    agent_->loop().Post(
        [this, theirs] { MSB_CHECK(agent_->server().Serve(UniqueFd(theirs)).ok()); });
    return AgentClient(std::move(ours));
  }
  // A connection on which `exec` runs.
  AgentClient Start(const agent::v1::Exec& exec) {
    AgentClient client = Connect();
    agent::v1::Open open;
    *open.mutable_exec() = exec;
    client.Open(std::move(open));
    return client;
  }
  AgentClient Attach(const agent::v1::Attach& attach) {
    AgentClient client = Connect();
    agent::v1::Open open;
    *open.mutable_attach() = attach;
    client.Open(std::move(open));
    return client;
  }
  ExecResult Run(const agent::v1::Exec& exec) {
    AgentClient client = Start(exec);
    return ReadToEnd(client);
  }
  // One request on a control connection of its own.
  agent::v1::ControlResponse Control(agent::v1::ControlRequest request) {
    AgentClient client = Connect();
    agent::v1::Open open;
    open.mutable_control();
    client.Open(std::move(open));
    client.Expect(agent::v1::AgentFrame::kOpened);
    agent::v1::HostFrame frame;
    *frame.mutable_control() = std::move(request);
    client.Send(frame);
    return client.Expect(agent::v1::AgentFrame::kControl).control();
  }
  // Runs `task` on the agent's own thread and waits for it.
  template <typename Task>
  void OnLoop(Task task) {
    std::promise<void> done;
    agent_->loop().Post([&] {
      task(*agent_);
      done.set_value();
    });
    done.get_future().wait();
  }

  const FakeGuest& guest() const { return guest_; }

 private:
  FakeGuest guest_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_AGENT_TEST_AGENT_H_
