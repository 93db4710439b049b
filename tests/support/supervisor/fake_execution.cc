// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_execution.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/frames.h"

namespace msb {

using msb::agent::v1::AgentFrame;

bool FakeConnection::Send(const AgentFrame& frame) {
  const std::lock_guard lock(mutex_);
  return WriteFrame(fd_.get(), frame.SerializeAsString(), absl::InfiniteFuture()).ok();
}

void FakeConnection::SendError(int reason, const std::string& message) {
  AgentFrame frame;
  frame.mutable_error()->set_reason(reason);
  frame.mutable_error()->set_message(message);
  Send(frame);
}

void FakeConnection::Shutdown() { ::shutdown(fd_.get(), SHUT_RDWR); }

std::shared_ptr<FakeExecution> FakeExecution::Start(const msb::agent::v1::Exec& exec) {
  std::shared_ptr<FakeExecution> execution(new FakeExecution(exec));
  int in[2], out[2], err[2];
  MSB_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0 &&
            ::pipe2(err, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  if (exec.cwd() != "") ::posix_spawn_file_actions_addchdir_np(&actions, exec.cwd().c_str());
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> env;
  for (const auto& variable : exec.env()) env.push_back(variable.name() + "=" + variable.value());
  std::vector<char*> argv, envp;
  for (const auto& argument : exec.argv()) argv.push_back(const_cast<char*>(argument.c_str()));
  for (std::string& variable : env) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const int error =
      ::posix_spawnp(&execution->pid_, argv[0], &actions, &attributes, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  for (const int fd : {in[0], out[1], err[1]}) ::close(fd);
  execution->stdin_ = UniqueFd(in[1]);
  execution->output_[0] = UniqueFd(out[0]);
  execution->output_[1] = UniqueFd(err[0]);
  if (error != 0) return nullptr;
  if (!exec.attached() && !exec.stdin_open()) execution->stdin_.Reset();
  return execution;
}

FakeExecution::~FakeExecution() {
  {
    const std::lock_guard lock(mutex_);
    if (attached_) attached_->Shutdown();
    if (running_ && pid_ > 0) ::kill(-pid_, SIGKILL);
  }
  if (pump_.joinable()) pump_.join();
}

void FakeExecution::Run() {
  pump_ = std::thread([this] { Pump(); });
}

void FakeExecution::Pump() {
  const absl::Time start = absl::Now();
  const absl::Time deadline = exec_.timeout_ms() == 0
                                  ? absl::InfiniteFuture()
                                  : start + absl::Milliseconds(exec_.timeout_ms());
  int open = 2;
  while (open > 0) {
    pollfd fds[2] = {{output_[0].get(), POLLIN, 0}, {output_[1].get(), POLLIN, 0}};
    int wait = -1;
    if (deadline != absl::InfiniteFuture() && !timed_out_) {
      wait =
          static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now())));
    }
    const int ready = ::poll(fds, 2, wait);
    if (ready == 0 && absl::Now() >= deadline) {
      timed_out_ = true;
      ::kill(-pid_, SIGKILL);
    }
    for (int i = 0; i < 2; ++i) {
      if (fds[i].revents == 0) continue;
      std::string data(128 * 1024, '\0');
      const ssize_t got = ::read(fds[i].fd, data.data(), data.size());
      if (got <= 0) {
        output_[i].Reset();
        --open;
        continue;
      }
      data.resize(static_cast<size_t>(got));
      TakeOutput(i, std::move(data));
    }
  }
  int status = 0;
  {
    // Not reaped while somebody signals it: its number is its own until then.
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    const std::lock_guard lock(mutex_);
    ::waitpid(pid_, &status, 0);
    running_ = false;
  }
  exited_.set_timed_out(timed_out_);
  exited_.set_duration_ns(static_cast<uint64_t>(absl::ToInt64Nanoseconds(absl::Now() - start)));
  exited_.set_exit_code(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  exited_.set_signal(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  Finish();
}

void FakeExecution::TakeOutput(int stream, std::string data) {
  std::shared_ptr<FakeConnection> attached;
  AgentFrame frame;
  auto& output = stream == 0 ? *frame.mutable_stdout() : *frame.mutable_stderr();
  {
    const std::lock_guard lock(mutex_);
    Ring& ring = rings_[stream];
    output.set_offset(ring.start + ring.data.size());
    ring.data += data;
    const size_t limit = exec_.ring_bytes() == 0 ? 1 << 20 : exec_.ring_bytes();
    if (ring.data.size() > limit) {
      const size_t gone = ring.data.size() - limit;
      ring.data.erase(0, gone);
      ring.start += gone;
    }
    attached = attached_;
  }
  output.set_data(std::move(data));
  if (attached) attached->Send(frame);
}

void FakeExecution::Finish() {
  std::shared_ptr<FakeConnection> attached;
  AgentFrame frame;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    *frame.mutable_exited() = exited_;
    attached = attached_;
  }
  if (attached && attached->Send(frame)) attached->Shutdown();
}

bool FakeExecution::Attach(const std::shared_ptr<FakeConnection>& connection,
                           const msb::agent::v1::Attach& attach) {
  const std::lock_guard lock(mutex_);
  if (attached_ && !finished_ && !attach.take_over()) return false;
  if (attached_ && !finished_) attached_->SendError(61, "another client took over");
  const uint64_t asked[2] = {attach.stdout_offset(), attach.stderr_offset()};
  uint64_t from[2];
  for (int i = 0; i < 2; ++i) {
    from[i] = std::clamp(asked[i], rings_[i].start, rings_[i].start + rings_[i].data.size());
  }
  AgentFrame opened;
  opened.mutable_opened()->set_pid(pid_);
  opened.mutable_opened()->set_stdout_offset(from[0]);
  opened.mutable_opened()->set_stderr_offset(from[1]);
  connection->Send(opened);
  for (int i = 0; i < 2; ++i) {
    AgentFrame frame;
    auto& output = i == 0 ? *frame.mutable_stdout() : *frame.mutable_stderr();
    output.set_offset(from[i]);
    output.set_data(rings_[i].data.substr(from[i] - rings_[i].start));
    if (!output.data().empty()) connection->Send(frame);
  }
  if (!finished_) {
    attached_ = connection;
    return true;
  }
  AgentFrame frame;
  *frame.mutable_exited() = exited_;
  connection->Send(frame);
  connection->Shutdown();
  return true;
}

void FakeExecution::Detach(const std::shared_ptr<FakeConnection>& connection) {
  connection->Shutdown();
  const std::lock_guard lock(mutex_);
  if (attached_ == connection) attached_.reset();
}

void FakeExecution::WriteStdin(const std::string& data) {
  size_t done = 0;
  while (stdin_.valid() && done < data.size()) {
    const ssize_t wrote = ::write(stdin_.get(), data.data() + done, data.size() - done);
    if (wrote <= 0) return stdin_.Reset();
    done += static_cast<size_t>(wrote);
  }
}

void FakeExecution::CloseStdin() { stdin_.Reset(); }

void FakeExecution::Signal(int signal) {
  const std::lock_guard lock(mutex_);
  if (running_) ::kill(-pid_, signal);
}

msb::agent::v1::ExecInfo FakeExecution::Info() {
  const std::lock_guard lock(mutex_);
  msb::agent::v1::ExecInfo info;
  info.set_exec_id(exec_.exec_id());
  info.set_pid(pid_);
  for (const auto& argument : exec_.argv()) info.add_argv(argument);
  info.set_running(!finished_);
  info.set_attached(attached_ != nullptr);
  info.set_pty(exec_.has_pty());
  if (finished_) *info.mutable_exited() = exited_;
  return info;
}

}  // namespace msb
