// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/execution.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"
#include "guest-agent/exec/command.h"
#include "guest-agent/exec/spawn.h"
#include "guest-agent/exec/terminal.h"

namespace msb {
namespace {

using agent::v1::Exec;

// Most that one read takes: a full pipe.
constexpr size_t kReadBytes = 64 * 1024;
// A paused stream is read again when this much room (or all there is) is free, not at the first
// byte.
constexpr size_t kResumeRoom = 64 * 1024;

// A read of this much came from a writer of large pieces. A terminal hands out 4 KiB at most.
constexpr size_t kLargePiece = 16 * 1024;
constexpr size_t kLargeTerminalPiece = 1024;

// Of an argument in a message: tag and length, and the dots behind one that is cut.
constexpr size_t kArgumentOverhead = 8;

int64_t MonotonicNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

uint64_t BoottimeNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t Nanoseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1000;
}

size_t RingBytes(const Exec& request) {
  return request.ring_bytes() == 0 ? kDefaultRingBytes : request.ring_bytes();
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(Reason::kTooManyExecs, "make a pipe", errno);
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void StopBlocking(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

}  // namespace

Execution::Execution(const ExecServices& services, const Exec& request,
                     std::function<void()> on_finished)
    : services_(services),
      id_(request.exec_id()),
      argv_(request.argv().begin(), request.argv().end()),
      pty_(request.has_pty()),
      on_finished_(std::move(on_finished)),
      streams_{Stream(RingBytes(request)), Stream(RingBytes(request))} {}

Execution::~Execution() {
  for (Stream& stream : streams_) UnwatchStream(stream);
  if (stdin_watched_) services_.loop.Unwatch(stdin_.get());
  if (timeout_) services_.loop.Cancel(*timeout_);
  if (drain_grace_) services_.loop.Cancel(*drain_grace_);
}

absl::StatusOr<std::unique_ptr<Execution>> Execution::Start(const ExecServices& services,
                                                            const Exec& request,
                                                            std::function<void()> on_finished) {
  if (RingBytes(request) < kMinRingBytes || RingBytes(request) > kMaxRingBytes) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("a ring of ", RingBytes(request), " bytes; ", kMinRingBytes,
                                  " to ", kMaxRingBytes, " are possible"));
  }
  std::unique_ptr<Execution> execution(new Execution(services, request, std::move(on_finished)));
  const absl::Status launched = execution->Launch(request);
  if (launched.ok()) return execution;
  if (execution->leader_alive_) ::kill(-execution->pid_, SIGKILL);
  return launched;
}

absl::Status Execution::Launch(const Exec& request) {
  MSB_ASSIGN_OR_RETURN(SpawnPlan plan,
                       PlanCommand(request, services_.users, services_.default_environment));
  Pipe in, out, err;
  Terminal terminal;
  if (pty_) {
    MSB_ASSIGN_OR_RETURN(terminal, OpenTerminal(request.pty(), plan.uid));
    std::fill_n(plan.stdio, 3, terminal.slave.get());
    stdin_ = UniqueFd(::fcntl(terminal.master.get(), F_DUPFD_CLOEXEC, 3));
    if (!stdin_.valid()) return ErrnoError(Reason::kTooManyExecs, "open a terminal", errno);
    At(OutputStream::kStdout).fd = std::move(terminal.master);
  } else {
    MSB_ASSIGN_OR_RETURN(out, MakePipe());
    MSB_ASSIGN_OR_RETURN(err, MakePipe());
    plan.stdio[0] = services_.null_fd;
    plan.stdio[1] = out.write_end.get();
    plan.stdio[2] = err.write_end.get();
    if (request.attached() || request.stdin_open()) {
      MSB_ASSIGN_OR_RETURN(in, MakePipe());
      plan.stdio[0] = in.read_end.get();
      StopBlocking(in.write_end);
      stdin_ = std::move(in.write_end);
    }
    StopBlocking(out.read_end);
    StopBlocking(err.read_end);
    At(OutputStream::kStdout).fd = std::move(out.read_end);
    At(OutputStream::kStdout).writer = std::move(out.write_end);
    At(OutputStream::kStderr).fd = std::move(err.read_end);
    At(OutputStream::kStderr).writer = std::move(err.write_end);
  }
  cgroup_ = services_.cgroups.Take();
  plan.cgroup_fd = cgroup_.directory_fd();
  started_ns_ = BoottimeNanoseconds();
  const SpawnResult spawned = Spawn(plan);
  if (spawned.step != SpawnStep::kNone) {
    services_.cgroups.Return(std::move(cgroup_));
    return SpawnError(request, spawned);
  }
  pid_ = spawned.pid;
  leader_alive_ = true;
  for (Stream& stream : streams_) {
    if (stream.fd.valid()) MSB_RETURN_IF_ERROR(WatchStream(stream));
  }
  if (request.timeout_ms() != 0) {
    timeout_ =
        services_.loop.After(absl::Milliseconds(request.timeout_ms()), [this] { OnTimeout(); });
  }
  return absl::OkStatus();
}

absl::Status Execution::WatchStream(Stream& stream) {
  MSB_RETURN_IF_ERROR(services_.loop.Watch(
      stream.fd.get(), EPOLLIN, [this, &stream](uint32_t events) { OnReadable(stream, events); }));
  stream.watched = true;
  return absl::OkStatus();
}

// Not by an empty event mask: a hang-up is reported regardless of it, for ever.
void Execution::UnwatchStream(Stream& stream) {
  if (stream.pace) services_.loop.Cancel(*std::exchange(stream.pace, std::nullopt));
  if (!std::exchange(stream.watched, false)) return;
  services_.loop.Unwatch(stream.fd.get());
}

size_t Execution::Room(const Stream& stream) const {
  size_t room = stream.ring.limit();
  if (client_ != nullptr) room -= static_cast<size_t>(stream.ring.end() - stream.taken);
  return stream.rest ? std::min(room, *stream.rest) : room;
}

void Execution::OnReadable(Stream& stream, uint32_t events) {
  if ((events & EPOLLHUP) == 0 && WaitsForPace(stream)) return;
  if ((events & EPOLLHUP) != 0) {
    ReadUpToNow(stream);  // the other side has closed: all there is and the end in one go
  } else {
    ReadOnce(stream);
  }
  AfterReading();
}

bool Execution::WaitsForPace(Stream& stream) {
  const absl::Duration since = absl::Nanoseconds(MonotonicNanoseconds() - stream.last_read_ns);
  if (since >= kReadPace) return false;
  UnwatchStream(stream);
  stream.pace = services_.loop.After(kReadPace - since, [this, &stream] {
    stream.pace.reset();
    if (!stream.watched) WatchStream(stream).IgnoreError();
  });
  return true;
}

bool Execution::ReadOnce(Stream& stream) {
  if (!stream.fd.valid()) return false;
  const size_t room = Room(stream);
  if (room == 0) {
    if (stream.rest == size_t{0}) {
      CloseStream(stream);
    } else {
      UnwatchStream(stream);  // until the client has taken some
    }
    return false;
  }
  const OutputRing::Span span = stream.ring.Reserve(std::min(room, kReadBytes));
  const ssize_t got = ::readv(stream.fd.get(), span.pieces, span.count);
  if (got > 0) {
    stream.ring.Commit(static_cast<size_t>(got));
    const size_t large = pty_ ? kLargeTerminalPiece : kLargePiece;
    if (static_cast<size_t>(got) < large) stream.last_read_ns = MonotonicNanoseconds();
    if (!stream.rest) return true;
    *stream.rest -= static_cast<size_t>(got);
    if (*stream.rest > 0) return true;
    CloseStream(stream);
    return false;
  }
  if (got < 0 && errno == EINTR) return true;
  // A terminal whose last program has gone says EIO.
  const bool more_may_come = got < 0 && errno == EAGAIN && !stream.rest;
  if (!more_may_come) CloseStream(stream);
  return false;
}

// What stands in the stream at this moment, and the end if it is there. Not until it is empty:
// others than the leader may hold it, and write as quickly as it is read.
void Execution::ReadUpToNow(Stream& stream) {
  if (!stream.fd.valid()) return;
  int buffered = 0;
  ::ioctl(stream.fd.get(), FIONREAD, &buffered);
  const uint64_t now = stream.ring.end() + static_cast<uint64_t>(std::max(buffered, 0));
  while (ReadOnce(stream) && stream.ring.end() <= now) {
  }
}

void Execution::CloseStream(Stream& stream) {
  UnwatchStream(stream);
  // A writer is left when `rest` cut the stream; with the last one gone, the orphanage closes it.
  if (stream.rest && !pty_) {
    services_.orphans.Adopt(std::move(stream.fd));
  } else {
    stream.fd.Reset();
  }
}

void Execution::AfterReading() {
  const bool drained = std::none_of(streams_.begin(), streams_.end(),
                                    [](const Stream& stream) { return stream.fd.valid(); });
  if (drained && !leader_alive_ && !finished_) return Finish();
  if (client_ != nullptr) client_->OnOutput();
}

void Execution::OnLeaderExit(int wait_status, const rusage& usage) {
  leader_alive_ = false;
  if (timeout_) services_.loop.Cancel(*timeout_);
  timeout_.reset();
  if (WIFSIGNALED(wait_status)) {
    exited_.set_signal(WTERMSIG(wait_status));
    exited_.set_exit_code(128 + WTERMSIG(wait_status));
  } else {
    exited_.set_exit_code(WEXITSTATUS(wait_status));
  }
  exited_.set_timed_out(timed_out_);
  exited_.set_duration_ns(BoottimeNanoseconds() - started_ns_);
  exited_.set_user_cpu_ns(Nanoseconds(usage.ru_utime));
  exited_.set_system_cpu_ns(Nanoseconds(usage.ru_stime));
  exited_.set_max_rss_bytes(static_cast<uint64_t>(usage.ru_maxrss) * 1024);
  for (Stream& stream : streams_) {
    stream.writer.Reset();  // from now on the end of the stream can be seen
    ReadUpToNow(stream);
  }
  AfterReading();
  if (!finished_) {
    drain_grace_ = services_.loop.After(kDrainGrace, [this] { OnDrainGrace(); });
  }
}

// From now on only what is in the pipes at this moment counts.
void Execution::OnDrainGrace() {
  drain_grace_.reset();
  for (Stream& stream : streams_) {
    if (!stream.fd.valid()) continue;
    int buffered = 0;
    ::ioctl(stream.fd.get(), FIONREAD, &buffered);
    stream.rest = static_cast<size_t>(std::max(buffered, 0));
    while (ReadOnce(stream)) {
    }
  }
  AfterReading();
}

void Execution::Finish() {
  finished_ = true;
  if (drain_grace_) services_.loop.Cancel(*drain_grace_);
  drain_grace_.reset();
  exited_.set_stdout_bytes(At(OutputStream::kStdout).ring.end());
  exited_.set_stderr_bytes(At(OutputStream::kStderr).ring.end());
  if (std::exchange(stdin_watched_, false)) services_.loop.Unwatch(stdin_.get());
  stdin_.Reset();
  services_.cgroups.Return(std::move(cgroup_));
  if (client_ != nullptr) client_->OnOutput();
  on_finished_();  // may destroy this
}

void Execution::OnTimeout() {
  timeout_.reset();
  timed_out_ = true;
  ::kill(-pid_, SIGKILL);
  cgroup_.Kill();
}

void Execution::Attach(ExecClient* client, uint64_t stdout_offset, uint64_t stderr_offset) {
  if (client_ != nullptr) std::exchange(client_, nullptr)->OnTakenOver();
  client_ = client;
  At(OutputStream::kStdout).taken = stdout_offset;
  At(OutputStream::kStderr).taken = stderr_offset;
  for (Stream& stream : streams_) {
    // The client before may have paused it.
    if (stream.fd.valid() && !stream.watched && !stream.pace) WatchStream(stream).IgnoreError();
  }
}

void Execution::Detach() {
  client_ = nullptr;
  for (Stream& stream : streams_) {
    if (stream.fd.valid() && !stream.watched && !stream.pace) WatchStream(stream).IgnoreError();
  }
}

void Execution::Taken(OutputStream which, uint64_t offset) {
  Stream& stream = At(which);
  stream.taken = offset;
  if (!stream.fd.valid() || stream.watched || stream.pace) return;
  if (Room(stream) < std::min(kResumeRoom, stream.ring.limit()) && !stream.rest) return;
  WatchStream(stream).IgnoreError();
}

agent::v1::ExecInfo Execution::Info(size_t max_argv_bytes) const {
  agent::v1::ExecInfo info;
  info.set_exec_id(id_);
  info.set_pid(pid_);
  for (const std::string& argument : argv_) {
    const bool fits = argument.size() + kArgumentOverhead <= max_argv_bytes;
    const size_t room = max_argv_bytes > kArgumentOverhead ? max_argv_bytes - kArgumentOverhead : 0;
    info.add_argv(fits ? argument : absl::StrCat(argument.substr(0, room), "..."));
    if (!fits) break;
    max_argv_bytes -= argument.size() + kArgumentOverhead;
  }
  info.set_running(!finished_);
  info.set_attached(client_ != nullptr);
  info.set_pty(pty_);
  info.set_started_boottime_ns(started_ns_);
  if (finished_) *info.mutable_exited() = exited_;
  return info;
}

size_t Execution::memory_bytes() const {
  size_t bytes = sizeof(*this);
  for (const Stream& stream : streams_) bytes += stream.ring.memory_bytes();
  for (const std::string& argument : argv_) bytes += argument.size();
  return bytes;
}

}  // namespace msb
