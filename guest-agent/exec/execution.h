// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One command: its process, its input, what it wrote, and how it ended.
//
// It goes through: running (the leader lives), draining (the leader has ended, its output is not
// read to the end), finished. A client that is attached takes the output as it comes; while it does
// not, the command is held back. Without a client the output ring is overwritten and the command
// goes on.

#ifndef MSB_GUEST_AGENT_EXEC_EXECUTION_H_
#define MSB_GUEST_AGENT_EXEC_EXECUTION_H_

#include <sys/resource.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "guest-agent/exec/cgroup_pool.h"
#include "guest-agent/exec/orphan_pipes.h"
#include "guest-agent/exec/output_ring.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Exec.ring_bytes: what it is when 0, and its bounds.
inline constexpr uint32_t kDefaultRingBytes = 1u << 20;
inline constexpr uint32_t kMinRingBytes = 4096;
inline constexpr uint32_t kMaxRingBytes = 64u << 20;

// How long others that hold the output of a command may go on after its leader has ended and still
// be heard: a process substitution's last lines come, a daemon does not keep its command from
// finishing.
inline constexpr absl::Duration kDrainGrace = absl::Milliseconds(100);

// A command that writes in small pieces is read at most once in this time, so that a thousand lines
// are not a thousand wake-ups and packets. What comes first, last, or in large pieces does not
// wait.
inline constexpr absl::Duration kReadPace = absl::Milliseconds(1);

enum class OutputStream : int { kStdout = 0, kStderr = 1 };
inline constexpr int kOutputStreams = 2;

// Who takes the output of a command. All calls come from the loop and may detach.
class ExecClient {
 public:
  virtual ~ExecClient() = default;
  // There is more output, or the command has finished.
  virtual void OnOutput() = 0;
  // WriteStdin will take more.
  virtual void OnStdinRoom() = 0;
  // Another client is in its place; it is detached already.
  virtual void OnTakenOver() = 0;
};

// What executions share. All outlive them.
struct ExecServices {
  EventLoop& loop;
  UserDatabase& users;
  CgroupPool& cgroups;
  OrphanPipes& orphans;
  int null_fd;  // /dev/null
  // "NAME=value": what a command has unless it brings its own.
  std::vector<std::string> default_environment = {};
};

// Belongs to the loop's thread.
class Execution {
 public:
  // `on_finished` is called once and must not destroy the execution. Errors: those of PlanCommand
  // and SpawnError, kTooManyExecs when the guest is out of descriptors.
  static absl::StatusOr<std::unique_ptr<Execution>> Start(const ExecServices& services,
                                                          const agent::v1::Exec& request,
                                                          std::function<void()> on_finished);
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;
  ~Execution();

  const std::string& id() const { return id_; }
  int pid() const { return pid_; }
  bool finished() const { return finished_; }
  // How it ended; complete once finished().
  const agent::v1::Exited& exited() const { return exited_; }
  // With at most so many bytes of argv; what is cut ends in "...".
  agent::v1::ExecInfo Info(size_t max_argv_bytes) const;
  size_t memory_bytes() const;

  const OutputRing& ring(OutputStream stream) const { return At(stream).ring; }

  ExecClient* client() const { return client_; }
  // The client will take output from these offsets on, which lie within the rings.
  void Attach(ExecClient* client, uint64_t stdout_offset, uint64_t stderr_offset);
  void Detach();
  // The client has no more need of what lies before `offset`.
  void Taken(OutputStream stream, uint64_t offset);

  // Returns how much of `bytes` the command has taken. Less than all: OnStdinRoom follows. Input
  // for a command that does not read any more is taken and dropped, as a shell's pipe would.
  size_t WriteStdin(absl::string_view bytes);
  // Behind everything written. A terminal's program gets its end-of-file character.
  void CloseStdin();
  // kNotATerminal, kExecFinished.
  absl::Status Resize(const agent::v1::TerminalSize& size);
  // To the command's process group. kExecFinished, kInvalidArgument.
  absl::Status Signal(int signal);

  // The leader has been reaped.
  void OnLeaderExit(int wait_status, const rusage& usage);

 private:
  struct Stream {
    explicit Stream(size_t ring_bytes) : ring(ring_bytes) {}
    UniqueFd fd;
    // The agent's own hold on the other end, while the leader lives: its closing would wake the
    // agent for each stream, in the middle of the leader's end.
    UniqueFd writer;
    OutputRing ring;
    uint64_t taken = 0;  // by the client
    bool watched = false;
    int64_t last_read_ns = 0;  // CLOCK_MONOTONIC, of the last small piece
    std::optional<EventLoop::TimerId> pace;
    // Bytes that are still to be read of a stream which others hold open behind the leader's end.
    std::optional<size_t> rest;
  };

  Execution(const ExecServices& services, const agent::v1::Exec& request,
            std::function<void()> on_finished);
  Stream& At(OutputStream stream) { return streams_[static_cast<size_t>(stream)]; }
  const Stream& At(OutputStream stream) const { return streams_[static_cast<size_t>(stream)]; }

  absl::Status Launch(const agent::v1::Exec& request);
  absl::Status WatchStream(Stream& stream);
  void UnwatchStream(Stream& stream);
  size_t Room(const Stream& stream) const;
  void OnReadable(Stream& stream, uint32_t events);
  // Whether the stream has to wait for its next read; it is watched again in time.
  bool WaitsForPace(Stream& stream);
  // False when there is nothing more to read now.
  bool ReadOnce(Stream& stream);
  void ReadUpToNow(Stream& stream);
  void CloseStream(Stream& stream);
  void AfterReading();
  void OnDrainGrace();
  void Finish();
  void WatchStdin();
  void OnTimeout();

  const ExecServices services_;
  const std::string id_;
  std::vector<std::string> argv_;
  const bool pty_;
  std::function<void()> on_finished_;

  int pid_ = -1;
  uint64_t started_ns_ = 0;  // CLOCK_BOOTTIME
  bool leader_alive_ = false;
  bool finished_ = false;
  bool timed_out_ = false;
  agent::v1::Exited exited_;
  std::optional<EventLoop::TimerId> timeout_;
  std::optional<EventLoop::TimerId> drain_grace_;
  ExecCgroup cgroup_;

  std::array<Stream, kOutputStreams> streams_;
  UniqueFd stdin_;  // a terminal's is a duplicate of its master
  bool stdin_watched_ = false;
  bool eof_pending_ = false;
  char last_input_ = '\n';
  ExecClient* client_ = nullptr;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_EXECUTION_H_
