// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A QEMU process: started, watched, reaped.
//
// Threading: the event loop's. QEMU dies with the thread that started it (PR_SET_PDEATHSIG).

#ifndef MSB_VMM_QEMU_PROCESS_H_
#define MSB_VMM_QEMU_PROCESS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "jailer/policy/filter.h"

namespace msb {

// The last bytes of a stream that may be endless.
class StreamTail {
 public:
  static constexpr size_t kMaxBytes = 2048;
  static constexpr size_t kMaxTextBytes = 400;
  void Append(absl::string_view bytes);
  // The end of it in one line of printable ASCII, for an error's message.
  std::string Text() const;

 private:
  std::string bytes_;
};

// How a process ended, in the words of waitpid.
struct ProcessEnd {
  int wait_status = 0;
  std::string error_output;  // the end of what it wrote to stdout and stderr

  bool exited_cleanly() const;
  std::string Text() const;  // "exited with code 1: ..."
};

class QemuProcess {
 public:
  // Called once, after the process has been reaped; not after Kill. May destroy the QemuProcess.
  using OnExit = std::function<void(ProcessEnd)>;

  struct Program {
    const std::vector<std::string>& arguments;  // the first is the path
    absl::Span<const int> inherited;            // of our descriptors, under the same numbers
    Seccomp seccomp = Seccomp::kInForce;
  };

  // Runs `program` with an empty environment, stdin of ours, stdout and stderr caught.
  static absl::StatusOr<std::unique_ptr<QemuProcess>> Spawn(EventLoop& loop, const Program& program,
                                                            OnExit on_exit);
  QemuProcess(const QemuProcess&) = delete;
  QemuProcess& operator=(const QemuProcess&) = delete;
  ~QemuProcess() { Kill(); }

  // The end of what it has written to stdout and stderr so far, in one line.
  std::string ErrorOutput();

  // SIGKILL, and waits for the end. Does nothing for a process that has ended.
  void Kill();

 private:
  QemuProcess(EventLoop& loop, OnExit on_exit) : loop_(loop), on_exit_(std::move(on_exit)) {}
  absl::Status WatchChild();
  bool OnErrorOutput();
  void OnExited();
  void Unwatch();

  EventLoop& loop_;
  OnExit on_exit_;
  int pid_ = -1;  // while there is something to reap
  UniqueFd pidfd_;
  UniqueFd error_output_;
  StreamTail tail_;
};

}  // namespace msb

#endif  // MSB_VMM_QEMU_PROCESS_H_
