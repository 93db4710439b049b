// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A transfer past the daemon (OpenTransferRequest of msb/v1/files.proto): who asks is looked at
// here, the operation is opened in the guest, and the connection with the agent goes to the client.
//
// Threading: OnReadable on the loop that watches the connection; the rest from any thread.

#ifndef MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_
#define MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/unique_fd.h"
#include "msb/v1/files.pb.h"
#include "supervisor/agent/stream.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/sandbox/registry.h"

namespace msb {

class DirectTransfer final : public AgentFrameSink,
                             public std::enable_shared_from_this<DirectTransfer> {
 public:
  // Serves `connection`, whose next byte is the preface, until either side has closed it. `caller`:
  // who is at its other end, or why he is not served. Loop and registry outlive the watch.
  static absl::Status Serve(EventLoop& loop, UniqueFd connection, absl::StatusOr<Caller> caller,
                            Registry& registry);

 private:
  DirectTransfer(EventLoop& loop, UniqueFd connection, absl::StatusOr<Caller> caller,
                 Registry& registry);
  void OnReadable();
  absl::StatusOr<bool> ReadRequest();
  void Open(const msb::v1::OpenTransferRequest& request);
  void Opened(absl::StatusOr<std::shared_ptr<AgentStream>> stream);
  void OnConnected(UniqueFd guest);
  void Answer(const absl::Status& status);
  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t cost) override;
  void OnEnd(absl::Status status) override { Answer(status); }

  EventLoop& loop_;
  const UniqueFd connection_;
  const absl::StatusOr<Caller> caller_;
  Registry& registry_;
  // Of the loop's thread:
  FrameReader reader_;
  bool has_preface_ = false;
  bool is_asked_ = false;

  absl::Mutex mutex_;
  std::shared_ptr<AgentStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;  // the client
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_
