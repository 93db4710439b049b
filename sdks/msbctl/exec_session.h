// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One command in a sandbox with this process's streams, from its start to its exit code.

#ifndef MSB_SDKS_MSBCTL_EXEC_SESSION_H_
#define MSB_SDKS_MSBCTL_EXEC_SESSION_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "msb/v1/exec.pb.h"
#include "sdks/msbctl/client.h"

namespace msb {

enum class ForwardStdin { kNo, kYes };

class ExecSession {
 public:
  // `first` is the start or the attach message, `terminal` whether the command has one.
  ExecSession(Client& client, msb::v1::ExecRequest first, ForwardStdin forward_stdin);
  ~ExecSession();

  // Runs to the end of the command; its exit code, as exit_code.h has it. Prints its id and returns
  // at once when it was detached.
  absl::StatusOr<int> Run();

  // From any thread: hands a signal that this process got to the command (or, before it has
  // started, gives the call up). SIGWINCH becomes the new size. The third SIGINT becomes SIGKILL.
  void OnSignal(int signal);

 private:
  using Stream = grpc::ClientReaderWriter<msb::v1::ExecRequest, msb::v1::ExecResponse>;

  bool is_attach() const { return first_.has_attach(); }
  const std::string& sandbox() const;
  void PumpStdin();
  absl::StatusOr<int> PumpOutput();
  absl::Status Lost(const absl::Status& status);
  int FinishedWith(const msb::v1::ExecExited& exited) const;
  void SendSignal(int signal);
  void SendSize();
  void StopStdin();

  Client& client_;
  const msb::v1::ExecRequest first_;
  const ForwardStdin forward_stdin_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
  UniqueFd stop_stdin_;  // eventfd: the command has ended, nobody reads stdin any more
  std::thread stdin_thread_;

  absl::Mutex mutex_;
  std::string exec_id_ ABSL_GUARDED_BY(mutex_);
  int interrupts_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_EXEC_SESSION_H_
