// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// From the path of a VMM's vsock socket to a connection with a port of its guest: connect, "CONNECT
// <port>\n", "OK <n>\n".

#ifndef MSB_SUPERVISOR_AGENT_CONNECTOR_H_
#define MSB_SUPERVISOR_AGENT_CONNECTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

// One attempt. Threading: the loop's thread only.
class GuestConnector : public std::enable_shared_from_this<GuestConnector> {
 public:
  using Done = std::function<void(absl::StatusOr<UniqueFd>)>;

  // `done` is called once, from the loop and never from within Start: with a non-blocking
  // descriptor, or kAgentUnreachable. Not after Cancel.
  static std::shared_ptr<GuestConnector> Start(EventLoop& loop, std::string socket_path,
                                               uint32_t port, absl::Duration timeout, Done done);
  ~GuestConnector();
  GuestConnector(const GuestConnector&) = delete;
  GuestConnector& operator=(const GuestConnector&) = delete;

  void Cancel();

 private:
  GuestConnector(EventLoop& loop, std::string socket_path, uint32_t port, Done done);
  void Connect();
  void OnReady();
  void Finish(absl::StatusOr<UniqueFd> result);
  void Fail(absl::string_view what);

  EventLoop& loop_;
  const std::string socket_path_;
  const uint32_t port_;
  Done done_;
  UniqueFd fd_;
  std::string reply_;
  EventLoop::TimerId deadline_{};
  EventLoop::TimerId retry_{};
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_CONNECTOR_H_
