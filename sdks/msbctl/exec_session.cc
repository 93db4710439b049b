// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/exec_session.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/exit_code.h"
#include "sdks/msbctl/signals.h"
#include "sdks/msbctl/terminal.h"

namespace msb {
namespace {

constexpr size_t kStdinChunkBytes = 256 << 10;
constexpr int kInterruptsBeforeKill = 3;

// False when our output goes nowhere any more; errno says why.
bool WriteAll(int fd, const std::string& data) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t written = ::write(fd, data.data() + done, data.size() - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EAGAIN) {
      pollfd waited{fd, POLLOUT, 0};
      ::poll(&waited, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

ExecSession::ExecSession(Client& client, msb::v1::ExecRequest first, ForwardStdin forward_stdin)
    : client_(client),
      first_(std::move(first)),
      forward_stdin_(forward_stdin),
      context_(client.NewContext()),
      stop_stdin_(::eventfd(0, EFD_CLOEXEC)) {
  MSB_CHECK(stop_stdin_.valid());
}

ExecSession::~ExecSession() { StopStdin(); }

const std::string& ExecSession::sandbox() const {
  return is_attach() ? first_.attach().sandbox() : first_.start().sandbox();
}

absl::StatusOr<int> ExecSession::Run() {
  const SignalThread signals([this](int signal) { OnSignal(signal); });
  stream_ =
      is_attach() ? client_.execs().Attach(context_.get()) : client_.execs().Exec(context_.get());
  if (stream_->Write(first_)) {
    msb::v1::ExecResponse response;
    if (stream_->Read(&response) && response.has_started()) {
      {
        absl::MutexLock lock(&mutex_);
        exec_id_ = response.started().exec_id();
      }
      if (first_.has_start() && first_.start().detach()) {
        std::printf("%s\n", response.started().exec_id().c_str());
        stream_->WritesDone();
        while (stream_->Read(&response)) {
        }
        MSB_RETURN_IF_ERROR(Client::Outcome(stream_->Finish(), *context_));
        return kExitOk;
      }
      return PumpOutput();
    }
  }
  stream_->WritesDone();
  const absl::Status status = Client::Outcome(stream_->Finish(), *context_);
  if (!status.ok()) return status;
  return MakeError(Reason::kExecLost, "the daemon ended the stream before the command started");
}

absl::StatusOr<int> ExecSession::PumpOutput() {
  const bool terminal = first_.has_start() && first_.start().has_pty();
  std::unique_ptr<RawMode> raw;
  if (terminal && ::isatty(STDIN_FILENO)) raw = std::make_unique<RawMode>(STDIN_FILENO);
  if (is_attach() && ::isatty(STDIN_FILENO)) SendSize();
  stdin_thread_ = std::thread([this] { PumpStdin(); });

  msb::v1::ExecResponse response;
  std::optional<int> exit_code;
  int write_error = 0;
  while (stream_->Read(&response)) {
    if (response.has_stdout()) {
      if (!WriteAll(STDOUT_FILENO, response.stdout().data())) write_error = errno;
    } else if (response.has_stderr()) {
      if (!WriteAll(STDERR_FILENO, response.stderr().data())) write_error = errno;
    } else if (response.has_exited()) {
      exit_code = FinishedWith(response.exited());
    }
    // As a local command would: who writes into a closed pipe gets SIGPIPE.
    if (write_error != 0 && !exit_code) SendSignal(SIGPIPE);
  }
  StopStdin();
  raw.reset();
  const absl::Status status = Client::Outcome(stream_->Finish(), *context_);
  if (write_error != 0 && write_error != EPIPE) {
    std::fprintf(stderr, "msbctl: the command's output: %s\n", std::strerror(write_error));
    // Our own signal is no news.
    if (exit_code == kExitOk || exit_code == 128 + SIGPIPE) exit_code = kExitFailure;
  }
  if (exit_code) return *exit_code;
  return Lost(status);
}

int ExecSession::FinishedWith(const msb::v1::ExecExited& exited) const {
  if (exited.reason() == msb::v1::REASON_EXEC_TIMEOUT) {
    std::fprintf(stderr, "msbctl: the command was killed at its time limit [EXEC_TIMEOUT]\n");
    return kExitTimeout;
  }
  return exited.exit_code();
}

// The connection broke, the command did not: how to find it again.
absl::Status ExecSession::Lost(const absl::Status& status) {
  if (!status.ok() && ReasonOf(status) != Reason::kDaemonUnreachable &&
      ReasonOf(status) != Reason::kExecLost) {
    return status;
  }
  if (first_.has_start() && first_.start().kill_on_disconnect()) return status;
  absl::MutexLock lock(&mutex_);
  return MakeError(Reason::kExecLost,
                   absl::StrCat("the connection to the command was lost (",
                                status.ok() ? "the stream ended early" : status.message(),
                                "); it goes on: msbctl attach ", sandbox(), " ", exec_id_));
}

void ExecSession::PumpStdin() {
  msb::v1::ExecRequest request;
  if (forward_stdin_ == ForwardStdin::kNo) {
    request.mutable_close_stdin();
    stream_->Write(request);
    return;
  }
  std::string buffer(kStdinChunkBytes, '\0');
  while (true) {
    pollfd waited[] = {{STDIN_FILENO, POLLIN, 0}, {stop_stdin_.get(), POLLIN, 0}};
    if (::poll(waited, 2, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (waited[1].revents != 0) return;
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) break;
    request.set_stdin(buffer.data(), static_cast<size_t>(got));
    if (!stream_->Write(request)) return;
  }
  request.mutable_close_stdin();
  stream_->Write(request);
}

void ExecSession::StopStdin() {
  if (!stdin_thread_.joinable()) return;
  const uint64_t one = 1;
  MSB_CHECK(::write(stop_stdin_.get(), &one, sizeof(one)) == sizeof(one));
  stdin_thread_.join();
  stream_->WritesDone();
}

void ExecSession::OnSignal(int signal) {
  bool started = false;
  {
    absl::MutexLock lock(&mutex_);
    started = !exec_id_.empty();
    if (signal == SIGINT && ++interrupts_ >= kInterruptsBeforeKill) signal = SIGKILL;
  }
  if (signal == SIGWINCH) {
    if (started) SendSize();
  } else if (started) {
    SendSignal(signal);
  } else {
    context_->TryCancel();
  }
}

void ExecSession::SendSignal(int signal) {
  // A call of its own: one in the stream would wait behind stdin that the command does not read.
  msb::v1::SignalExecRequest request;
  {
    absl::MutexLock lock(&mutex_);
    request.set_exec_id(exec_id_);
  }
  request.set_sandbox(sandbox());
  request.set_signal(signal);
  // The command may have ended meanwhile; the stream tells.
  client_.Call(client_.execs(), &msb::v1::ExecService::Stub::SignalExec, request)
      .status()
      .IgnoreError();
}

void ExecSession::SendSize() {
  const auto size = TerminalSizeOf(STDIN_FILENO);
  if (!size) return;
  msb::v1::ResizeExecRequest request;
  {
    absl::MutexLock lock(&mutex_);
    request.set_exec_id(exec_id_);
  }
  request.set_sandbox(sandbox());
  *request.mutable_size() = *size;
  client_.Call(client_.execs(), &msb::v1::ExecService::Stub::ResizeExec, request)
      .status()
      .IgnoreError();
}

}  // namespace msb
