// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The one connection of a sandbox that carries short requests to its agent.

#ifndef MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_
#define MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/agent/connector.h"
#include "supervisor/wire/frame_socket.h"
#include "supervisor/wire/pending_requests.h"

namespace msb {

// Connects at the first request and again after a loss. Threading: the loop's thread only.
class ControlChannel : public std::enable_shared_from_this<ControlChannel> {
 public:
  using Connect = std::function<void(GuestConnector::Done)>;
  using OnResponse = std::function<void(absl::StatusOr<msb::agent::v1::ControlResponse>)>;

  ControlChannel(EventLoop& loop, Connect connect)
      : loop_(loop), connect_(std::move(connect)), pending_(loop) {}
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  // `done` once: a response that is no error, or the error. kAgentUnreachable after `timeout`. The
  // time of a set_clock_ns is filled in as it is sent: the connection may have to be made first.
  void Request(msb::agent::v1::ControlRequest request, absl::Duration timeout, OnResponse done);
  // Fails what is pending with `why`; no request may follow.
  void Close(const absl::Status& why);

 private:
  enum class State { kDown, kConnecting, kOpening, kUp };

  void Open();
  void OnConnected(absl::StatusOr<UniqueFd> fd);
  void OnPayload(absl::string_view payload);
  void Fail(const absl::Status& why);
  void SendRequest(msb::agent::v1::ControlRequest request);

  EventLoop& loop_;
  const Connect connect_;
  State state_ = State::kDown;
  std::shared_ptr<FrameSocket> socket_;
  std::vector<msb::agent::v1::ControlRequest> unsent_;  // until the agent has said `opened`
  PendingRequests<msb::agent::v1::ControlResponse> pending_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_
