// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A transfer past the daemon (OpenTransferRequest of msb/v1/files.proto): who asks is looked at
// here, the operation is opened in the guest, and the connection with the agent goes to the client.
//
// Threading: OnEvents on the loop that watches the connection; the rest from any thread.

#ifndef MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_
#define MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "supervisor/agent/stream.h"
#include "supervisor/api/transfer_request.h"
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
  ~DirectTransfer() override;

 private:
  DirectTransfer(EventLoop& loop, UniqueFd connection, absl::StatusOr<Caller> caller,
                 Registry& registry);
  void OnEvents(uint32_t events);
  // False once the client has said all.
  absl::StatusOr<bool> Read();
  void Open(const TransferRequestReader::Operation& operation);
  void Opened(absl::StatusOr<std::shared_ptr<AgentStream>> stream);
  void BreakStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnConnected(UniqueFd guest);
  void Answer(const absl::Status& status);
  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t cost) override;
  void OnEnd(absl::Status status) override;

  EventLoop& loop_;
  UniqueFd connection_;  // as long as this is
  const absl::StatusOr<Caller> caller_;
  Registry& registry_;
  // Of the loop's thread:
  TransferRequestReader request_;
  std::vector<UniqueFd> passed_;  // by the client, which is wrong

  absl::Mutex mutex_;
  std::shared_ptr<AgentStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool handed_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool guest_is_lost_ ABSL_GUARDED_BY(mutex_) = false;  // the client says
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;           // the client
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_DIRECT_TRANSFER_H_
