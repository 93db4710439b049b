// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The VMM's control socket (proto/msb/vmm/v1/control.proto): several clients, each with several
// requests under way.
//
// A client is hostile until shown otherwise: what is kept for it is bounded, and one that breaks
// the protocol or does not read its answers is hung up on. The others notice nothing.
//
// Threading: the event loop's.

#ifndef MSB_VMM_CONTROL_CONTROL_SERVER_H_
#define MSB_VMM_CONTROL_CONTROL_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/control/control_target.h"
#include "vmm/control/event_journal.h"

namespace msb {

struct ControlLimits {
  size_t clients = 16;  // at a time; the next one is hung up on
  // Pauses, resumes and watches of one client at a time: kLimitExceeded.
  size_t requests_under_way = 32;
  size_t request_bytes = 4096;
  size_t unread_answer_bytes = 256 * 1024;  // of one client
  // How long no client is taken when the host has no descriptor left for one.
  absl::Duration accept_pause = absl::Milliseconds(100);
};

class ControlConnection;

class ControlServer {
 public:
  // Serves clients of `listener`, a listening Unix socket, from the next turn of the loop on.
  // Everything named outlives the server. kHostError.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Create(EventLoop& loop, UniqueFd listener,
                                                               ControlTarget& target,
                                                               EventJournal& journal,
                                                               const ControlLimits& limits = {});
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();

  size_t clients() const { return connections_.size(); }

 private:
  ControlServer(EventLoop& loop, UniqueFd listener, ControlTarget& target, EventJournal& journal,
                const ControlLimits& limits);
  absl::Status Listen();
  void OnListenerReady();
  void Admit(UniqueFd socket);

  EventLoop& loop_;
  const UniqueFd listener_;
  ControlTarget& target_;
  EventJournal& journal_;
  const ControlLimits limits_;
  std::optional<EventLoop::TimerId> accept_pause_;
  std::map<uint64_t, std::shared_ptr<ControlConnection>> connections_;
  uint64_t next_connection_ = 1;
};

}  // namespace msb

#endif  // MSB_VMM_CONTROL_CONTROL_SERVER_H_
