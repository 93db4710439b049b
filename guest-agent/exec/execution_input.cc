// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The half of Execution that goes towards the command: input, signals, size of the terminal.

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/errno_status.h"
#include "guest-agent/exec/execution.h"
#include "guest-agent/exec/terminal.h"

namespace msb {

size_t Execution::WriteStdin(absl::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    if (!stdin_.valid() || eof_pending_) return bytes.size();
    const ssize_t written = ::write(stdin_.get(), bytes.data() + done, bytes.size() - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
      last_input_ = bytes[done - 1];
    } else if (written < 0 && errno == EAGAIN) {
      WatchStdin();
      return done;
    } else if (written == 0 || errno != EINTR) {  // nobody reads it any more
      if (std::exchange(stdin_watched_, false)) services_.loop.Unwatch(stdin_.get());
      stdin_.Reset();
    }
  }
  return done;
}

void Execution::WatchStdin() {
  if (stdin_watched_) return;
  const absl::Status watched = services_.loop.Watch(stdin_.get(), EPOLLOUT, [this](uint32_t) {
    stdin_watched_ = false;
    services_.loop.Unwatch(stdin_.get());
    if (eof_pending_) {
      eof_pending_ = false;
      CloseStdin();
    } else if (client_ != nullptr) {
      client_->OnStdinRoom();
    }
  });
  stdin_watched_ = watched.ok();
}

void Execution::CloseStdin() {
  if (!stdin_.valid() || eof_pending_) return;
  if (!pty_) {
    stdin_.Reset();
    return;
  }
  // Within a line the character only ends the line; behind that, it ends the file.
  const char character = EndOfFileCharacter(stdin_.get());
  const char characters[2] = {character, character};
  const size_t count = last_input_ == '\n' ? 1 : 2;
  if (::write(stdin_.get(), characters, count) < 0 && errno == EAGAIN) {
    eof_pending_ = true;
    WatchStdin();
    return;
  }
  last_input_ = '\n';
}

absl::Status Execution::Resize(const agent::v1::TerminalSize& size) {
  if (!pty_) return MakeError(Reason::kNotATerminal, "the command runs without a terminal");
  const UniqueFd& master = At(OutputStream::kStdout).fd;
  if (!leader_alive_ || !master.valid()) {
    return MakeError(Reason::kExecFinished, "the command has ended");
  }
  return ResizeTerminal(master.get(), size);
}

absl::Status Execution::Signal(int signal) {
  if (signal < 1 || signal > SIGRTMAX) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("there is no signal ", signal));
  }
  if (!leader_alive_) return MakeError(Reason::kExecFinished, "the command has ended");
  if (::kill(-pid_, signal) != 0) {
    return ErrnoError(Reason::kExecFinished, "signal the command", errno);
  }
  return absl::OkStatus();
}

}  // namespace msb
