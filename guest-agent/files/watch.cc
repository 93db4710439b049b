// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Watch.

#include <poll.h>

#include <cerrno>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/files/file_error.h"
#include "guest-agent/files/file_operation.h"
#include "guest-agent/files/path.h"
#include "guest-agent/files/watch_tree.h"

namespace msb {
namespace {

// How long half of a rename waits for the other; the kernel makes both in one go.
constexpr int kRenameWaitMs = 20;

}  // namespace

absl::StatusOr<agent::v1::Done> RunWatch(const agent::v1::Watch& request, FileChannel& channel) {
  MSB_RETURN_IF_ERROR(CheckPath(request.path()));
  MSB_ASSIGN_OR_RETURN(
      WatchTree tree,
      WatchTree::Open(request.path(), request.recursive() ? WatchDepth::kAll : WatchDepth::kOne));
  agent::v1::AgentFrame frame;
  frame.mutable_opened()->set_protocol_version(agent::v1::WIRE_PROTOCOL_VERSION);
  MSB_RETURN_IF_ERROR(channel.Send(frame));
  agent::v1::Done done;
  while (true) {
    MSB_RETURN_IF_ERROR(channel.Flush());
    pollfd fds[2] = {{.fd = tree.fd(), .events = POLLIN, .revents = 0},
                     {.fd = channel.poll_fd(), .events = POLLIN | POLLRDHUP, .revents = 0}};
    const int ready = ::poll(fds, 2, tree.pending() ? kRenameWaitMs : -1);
    if (ready < 0 && errno != EINTR) return FileError("wait for events of", request.path());
    if (fds[1].revents != 0) return done;  // the host has gone, or speaks out of turn
    MSB_ASSIGN_OR_RETURN(
        std::vector<agent::v1::WatchEvent> events,
        tree.Read(ready == 0 ? WatchTree::Settled::kYes : WatchTree::Settled::kNo));
    for (agent::v1::WatchEvent& event : events) {
      agent::v1::AgentFrame event_frame;
      *event_frame.mutable_watch_event() = std::move(event);
      MSB_RETURN_IF_ERROR(channel.Send(event_frame));
      done.set_entries(done.entries() + 1);
    }
  }
}

}  // namespace msb
