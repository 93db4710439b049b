// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The one connection of a sandbox that carries short requests to its agent.

#ifndef MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_
#define MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/agent/connector.h"
#include "supervisor/wire/frame_socket.h"

namespace msb {

// Connects at the first request and again after a loss. Threading: the loop's thread only.
class ControlChannel : public std::enable_shared_from_this<ControlChannel> {
 public:
  using Connect = std::function<void(GuestConnector::Done)>;
  using OnResponse = std::function<void(absl::StatusOr<msb::agent::v1::ControlResponse>)>;

  ControlChannel(EventLoop& loop, Connect connect) : loop_(loop), connect_(std::move(connect)) {}
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  // `done` once: the response without its error, or the error. kAgentUnreachable after `timeout`.
  void Request(msb::agent::v1::ControlRequest request, absl::Duration timeout, OnResponse done);
  // Fails what is pending with `why`; no request may follow.
  void Close(const absl::Status& why);

 private:
  struct Pending {
    OnResponse done;
    EventLoop::TimerId deadline{};
  };
  enum class State { kDown, kConnecting, kOpening, kUp };

  void Open();
  void OnConnected(absl::StatusOr<UniqueFd> fd);
  void OnPayload(absl::string_view payload);
  void Fail(const absl::Status& why);
  void Answer(uint64_t id, absl::StatusOr<msb::agent::v1::ControlResponse> response);
  void SendRequest(msb::agent::v1::ControlRequest request);

  EventLoop& loop_;
  const Connect connect_;
  State state_ = State::kDown;
  std::shared_ptr<FrameSocket> socket_;
  std::vector<msb::agent::v1::ControlRequest> unsent_;  // until the agent has said `opened`
  absl::flat_hash_map<uint64_t, Pending> pending_;
  uint64_t next_id_ = 1;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_CONTROL_CHANNEL_H_
