// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads FUSE messages from a stream socket and answers them, with a few threads that take turns:
// the one whose turn it is reads requests and serves them on the spot. Only before something slow
// it passes its turn on, so that quick requests, which are most, cost no switch of threads, and a
// slow one stops nobody while there is a thread that does not wait.
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
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "file-server/fuse/message.h"
#include "file-server/session/session.h"

namespace msb {

class Server {
 public:
  // `socket` is a connected, blocking stream socket. `session` outlives the server.
  Server(UniqueFd socket, Session& session) : socket_(std::move(socket)), session_(session) {}

  // Serves with `threads` threads until the other side hangs up, or sends what is no message.
  // Before any of them reads, each calls `on_thread_start`, to confine itself.
  absl::Status Run(int threads, const std::function<void()>& on_thread_start);

 private:
  // Bytes of the stream; what is read ahead passes from turn to turn.
  struct Input {
    Input() : bytes(new uint8_t[kMaxMessageBytes]) {}
    std::unique_ptr<uint8_t[]> bytes;
    size_t begin = 0;
    size_t end = 0;
  };
  // What a thread has of its own.
  struct Worker {
    std::unique_ptr<Input> spare = std::make_unique<Input>();  // null while its request is in it
    std::unique_ptr<Input> taken;
    ReplyBuffer reply;
    bool has_turn = false;
  };

  void Work();
  // False at the end of the stream.
  absl::StatusOr<bool> ServeOne(Worker& worker);
  absl::StatusOr<bool> ReadMessage();
  absl::StatusOr<bool> Fill(size_t wanted, size_t most);
  void PassTurn(Worker& worker);
  absl::Status Send(absl::Span<const uint8_t> message);
  void End(absl::Status why);

  const UniqueFd socket_;
  Session& session_;
  absl::Mutex turn_mutex_;
  bool turn_taken_ ABSL_GUARDED_BY(turn_mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(turn_mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(turn_mutex_);
  std::unique_ptr<Input> input_ = std::make_unique<Input>();  // of whose turn it is
  absl::Mutex send_mutex_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SERVER_H_
