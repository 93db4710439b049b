// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A command of the fake agent: a real process of this host, with rings and an attached connection.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_EXECUTION_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_EXECUTION_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// One connection to the fake agent.
class FakeConnection {
 public:
  explicit FakeConnection(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  // False when the host is gone. Thread-safe.
  bool Send(const msb::agent::v1::AgentFrame& frame);
  void SendError(int reason, const std::string& message);
  // Ends reads and writes that are under way, on both sides.
  void Shutdown();

 private:
  UniqueFd fd_;
  std::mutex mutex_;
};

class FakeExecution {
 public:
  // nullptr when there is no such program.
  static std::shared_ptr<FakeExecution> Start(const msb::agent::v1::Exec& exec);
  ~FakeExecution();
  // Takes its output from here on, once.
  void Run();

  // Sends `opened`, what the rings hold from the offsets on, and then what comes. False when
  // another connection is attached and `take_over` is not set.
  bool Attach(const std::shared_ptr<FakeConnection>& connection,
              const msb::agent::v1::Attach& attach);
  void Detach(const std::shared_ptr<FakeConnection>& connection);
  void WriteStdin(const std::string& data);
  void CloseStdin();
  void Signal(int signal);
  msb::agent::v1::ExecInfo Info();
  // Of the frames that came: the last `resize`.
  msb::agent::v1::TerminalSize size() { return exec_.pty(); }
  void SetSize(const msb::agent::v1::TerminalSize& size) { *exec_.mutable_pty() = size; }
  const std::string& id() const { return exec_.exec_id(); }
  int pid() const { return pid_; }

 private:
  struct Ring {
    std::string data;
    uint64_t start = 0;
  };
  explicit FakeExecution(msb::agent::v1::Exec exec) : exec_(std::move(exec)) {}
  void Pump();
  void TakeOutput(int stream, std::string data);
  void Finish();

  msb::agent::v1::Exec exec_;
  int pid_ = 0;
  UniqueFd stdin_;
  UniqueFd output_[2];
  std::thread pump_;
  std::mutex mutex_;
  Ring rings_[2];
  std::shared_ptr<FakeConnection> attached_;
  bool running_ = true;    // not reaped yet
  bool finished_ = false;  // its end has been told
  bool timed_out_ = false;
  msb::agent::v1::Exited exited_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_EXECUTION_H_
