// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/unix_socket.h"

namespace msb {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::ControlRequest;
using msb::agent::v1::ControlResponse;
using msb::agent::v1::HostFrame;

namespace {

// nullopt at the end of the connection.
std::optional<HostFrame> NextFrame(FakeConnection& connection) {
  const auto payload = ReadFrame(connection.fd(), absl::InfiniteFuture());
  HostFrame frame;
  if (!payload.ok() || !*payload || !frame.ParseFromString(**payload)) return std::nullopt;
  return frame;
}

}  // namespace

FakeAgent::FakeAgent(std::string socket_path) : listener_(*ListenUnix(socket_path)) {
  ::signal(SIGPIPE, SIG_IGN);  // a command that closes its stdin
  acceptor_ = std::thread([this] { Accept(); });
}

FakeAgent::~FakeAgent() {
  DropAll();
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  DropAll();
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void FakeAgent::SetStory(Story story) {
  const std::lock_guard lock(mutex_);
  story_ = std::move(story);
}

void FakeAgent::OnShutdown(Shutdown on_shutdown) {
  const std::lock_guard lock(mutex_);
  on_shutdown_ = std::move(on_shutdown);
}

void FakeAgent::WaitForIdleConnections(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return idle_ == count; });
}

std::shared_ptr<FakeExecution> FakeAgent::FindExec(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = execs_.find(id);
  return it == execs_.end() ? nullptr : it->second;
}

void FakeAgent::DropAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& connection : connections_) connection->Shutdown();
  connections_.clear();
  for (const auto& [id, execution] : execs_) execution->Signal(SIGKILL);
  execs_.clear();
}

void FakeAgent::Accept() {
  while (true) {
    pollfd poll_fd{listener_.get(), POLLIN, 0};
    ::poll(&poll_fd, 1, -1);
    if ((poll_fd.revents & POLLHUP) != 0) return;
    absl::StatusOr<UniqueFd> fd = AcceptUnix(listener_.get(), Blocking::kYes);
    if (!fd.ok()) continue;
    const auto connection = std::make_shared<FakeConnection>(*std::move(fd));
    const std::lock_guard lock(mutex_);
    connections_.push_back(connection);
    threads_.emplace_back([this, connection] { Serve(connection); });
  }
}

bool FakeAgent::Handshake(FakeConnection& connection) {
  std::string line;
  char c;
  while (line.size() < 64 && ::recv(connection.fd(), &c, 1, 0) == 1) {
    line.push_back(c);
    if (c != '\n') continue;
    if (line != "CONNECT 1024\n") return false;
    return ::send(connection.fd(), "OK 5000\n", 8, MSG_NOSIGNAL) == 8;
  }
  return false;
}

void FakeAgent::Serve(const std::shared_ptr<FakeConnection>& connection) {
  if (Handshake(*connection)) {
    {
      const std::lock_guard lock(mutex_);
      ++idle_;
      changed_.notify_all();
    }
    const std::optional<HostFrame> frame = NextFrame(*connection);
    Story story;
    {
      const std::lock_guard lock(mutex_);
      --idle_;
      changed_.notify_all();
      story = story_;
    }
    if (frame && frame->has_open() && !(story && story(*connection, frame->open()))) {
      Operate(connection, frame->open());
    }
  }
  connection->Shutdown();
}

void FakeAgent::Operate(const std::shared_ptr<FakeConnection>& connection,
                        const msb::agent::v1::Open& open) {
  if (open.has_control()) return ServeControl(*connection);
  if (open.has_exec()) return StartExec(connection, open.exec());
  if (!open.has_attach()) {
    ServeFakeFiles(*connection, open);
    return;
  }
  const std::shared_ptr<FakeExecution> execution = FindExec(open.attach().exec_id());
  if (!execution) {
    return connection->SendError(static_cast<int>(Reason::kExecNotFound), "no such command");
  }
  if (!execution->Attach(connection, open.attach())) {
    return connection->SendError(static_cast<int>(Reason::kExecAlreadyAttached), "attached");
  }
  ServeExec(connection, execution);
}

void FakeAgent::StartExec(const std::shared_ptr<FakeConnection>& connection,
                          const msb::agent::v1::Exec& exec) {
  const std::shared_ptr<FakeExecution> execution = FakeExecution::Start(exec);
  if (!execution) {
    return connection->SendError(static_cast<int>(Reason::kCommandNotFound),
                                 "no command " + exec.argv(0));
  }
  {
    const std::lock_guard lock(mutex_);
    execs_[exec.exec_id()] = execution;
  }
  if (exec.attached()) {
    execution->Attach(connection, {});
    execution->Run();
    return ServeExec(connection, execution);
  }
  execution->Run();
  AgentFrame opened;
  opened.mutable_opened()->set_pid(execution->pid());
  connection->Send(opened);
}

void FakeAgent::ServeExec(const std::shared_ptr<FakeConnection>& connection,
                          const std::shared_ptr<FakeExecution>& execution) {
  while (const std::optional<HostFrame> frame = NextFrame(*connection)) {
    if (frame->has_stdin()) execution->WriteStdin(frame->stdin());
    if (frame->has_close_stdin()) execution->CloseStdin();
    if (frame->has_resize()) execution->SetSize(frame->resize());
    if (frame->frame_case() == HostFrame::kSignal) execution->Signal(frame->signal());
  }
  execution->Detach(connection);
}

void FakeAgent::ServeControl(FakeConnection& connection) {
  AgentFrame opened;
  opened.mutable_opened();
  connection.Send(opened);
  while (const std::optional<HostFrame> frame = NextFrame(connection)) {
    AgentFrame answer;
    *answer.mutable_control() = Answer(frame->control());
    connection.Send(answer);
  }
}

ControlResponse FakeAgent::Answer(const ControlRequest& request) {
  ControlResponse response;
  response.set_id(request.id());
  response.mutable_ok();
  if (request.request_case() == ControlRequest::kSetClockNs) ++clocks_set_;
  if (request.has_stats()) {
    auto& stats = *response.mutable_stats();
    stats.set_memory_total_bytes(512 << 20);
    stats.set_processes(7);
    stats.set_uptime_ns(5'000'000'000);
  }
  if (request.has_list_execs()) {
    const std::lock_guard lock(mutex_);
    response.mutable_execs();
    for (const auto& [id, exec] : execs_) *response.mutable_execs()->add_execs() = exec->Info();
  }
  const std::string& id =
      request.has_signal_exec() ? request.signal_exec().exec_id() : request.resize_exec().exec_id();
  if (request.has_signal_exec() || request.has_resize_exec()) {
    const std::shared_ptr<FakeExecution> execution = FindExec(id);
    if (!execution) {
      response.mutable_error()->set_reason(static_cast<int>(Reason::kExecNotFound));
    } else if (request.has_signal_exec()) {
      execution->Signal(request.signal_exec().signal());
    } else {
      execution->SetSize(request.resize_exec().size());
    }
  }
  if (request.request_case() == ControlRequest::kRemoveExec) {
    const std::lock_guard lock(mutex_);
    execs_.erase(request.remove_exec());
  }
  if (request.has_shutdown()) {
    Shutdown on_shutdown;
    {
      const std::lock_guard lock(mutex_);
      on_shutdown = on_shutdown_;
    }
    if (on_shutdown) on_shutdown(request.shutdown());
  }
  return response;
}

}  // namespace msb
