// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Takes FUSE requests out of the guest's queues, while the VMM has handed them over, and answers
// them, with a few threads that take turns: the one whose turn it is waits for requests and serves
// them on the spot. Only before something slow it passes its turn on, so that quick requests, which
// are most, cost no switch of threads, and a slow one stops nobody while there is a thread that
// does not wait.
//
// Slow is what is known to be: reading what the page cache has not, writing much or synchronously,
// fsync, another size or space, copying, freeing a large file, opening one that somebody has a
// lease on, waiting for another change of the same file where there is a quota, and every request
// of a network file system or FUSE. What the others wait for is not foreseen: names and attributes
// of a local file system that its cache has not, a first step onto a network file system that is
// mounted beneath, a delegation of the host's own NFS server.

#ifndef MSB_FILE_SERVER_SERVER_H_
#define MSB_FILE_SERVER_SERVER_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "file-server/fuse/message.h"
#include "file-server/guest_queues.h"
#include "file-server/session/session.h"
#include "vmm/devices/virtio/fs/handover.h"

namespace msb {

class Server {
 public:
  // `vmm` is a connected stream socket: orders and answers of handover.h. `session` outlives the
  // server.
  Server(UniqueFd vmm, Session& session) : vmm_(std::move(vmm)), session_(session) {}

  // Serves with `threads` threads until the VMM hangs up, or says what is no order. Before any of
  // them serves, each calls `on_thread_start`, to confine itself.
  absl::Status Run(int threads, const std::function<void()>& on_thread_start);

 private:
  // What a thread has of its own.
  struct Worker {
    Worker() : request(new uint8_t[kMaxMessageBytes]) {}
    std::unique_ptr<uint8_t[]> request;
    ReplyBuffer reply;
    bool has_turn = false;
  };
  enum class Progress { kServed, kEnded };

  void Work();
  absl::StatusOr<Progress> Turn(Worker& worker);
  absl::StatusOr<Progress> Wait(int milliseconds);
  absl::StatusOr<Progress> FollowOrder();
  absl::Status Stop();
  absl::Status Serve(Worker& worker, GuestQueues::Taken taken);
  GuestQueues::Reply Ask(Worker& worker, const fuse_in_header& header,
                         const DescriptorChain& chain);
  absl::Status Break(const absl::Status& why);
  absl::Status Answer(const fs_handover::Answer& answer);
  absl::Status AnswerStopped(const GuestQueues& queues);
  bool VmmIsGone() const;
  void PassTurn(Worker& worker);
  void End(absl::Status why);

  const UniqueFd vmm_;
  Session& session_;
  absl::Mutex turn_mutex_;
  bool turn_taken_ ABSL_GUARDED_BY(turn_mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(turn_mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(turn_mutex_);
  // Of whose turn it is.
  std::shared_ptr<GuestQueues> queues_;  // null while the VMM has them
  bool broken_ = false;                  // the guest broke the rules; until the VMM takes them back
  bool violation_logged_ = false;
  int served_in_a_row_ = 0;  // without a look at the VMM
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SERVER_H_
