// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The agent of one running sandbox: a connection for each operation, and one for short requests.

#ifndef MSB_SUPERVISOR_AGENT_AGENT_CLIENT_H_
#define MSB_SUPERVISOR_AGENT_AGENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/agent/control_channel.h"
#include "supervisor/agent/exec_session.h"
#include "supervisor/agent/stream.h"
#include "supervisor/agent/warm_pool.h"

namespace msb {

struct AgentOptions {
  std::string vsock_socket;
  absl::Duration connect_timeout;
  absl::Duration request_timeout;
  uint32_t warm_connections = 0;
  size_t window_bytes = 0;  // of each stream
};

// Thread-safe: every call is posted to the I/O loop, where all of its state is.
class AgentClient : public std::enable_shared_from_this<AgentClient> {
 public:
  static std::shared_ptr<AgentClient> Create(EventLoop& loop, AgentOptions options);
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  // Fills the pool of warm connections.
  void Warm();

  // `open` without its version, which is filled in here.
  std::shared_ptr<AgentStream> Open(msb::agent::v1::Open open,
                                    std::shared_ptr<AgentFrameSink> sink);
  // The same for who speaks with the agent himself: `connected` gets a blocking connection on which
  // `open` has been sent, on the loop, once, unless the stream has ended before. The stream carries
  // nothing: it stands for the operation until Close, or until the sink's OnEnd.
  using OnConnected = std::function<void(UniqueFd connection)>;
  std::shared_ptr<AgentStream> OpenDirect(msb::agent::v1::Open open,
                                          std::shared_ptr<AgentFrameSink> sink,
                                          OnConnected connected);
  std::shared_ptr<ExecSession> OpenExec(msb::agent::v1::Open open, ExecAttachment attachment,
                                        std::shared_ptr<ExecSink> sink);

  // `request` without its id. `done` is called once, on the loop. `extra` adds to the time-out of a
  // request that does more than look something up.
  void Request(msb::agent::v1::ControlRequest request, ControlChannel::OnResponse done,
               absl::Duration extra = absl::ZeroDuration());

  // Ends all streams and requests with `why`, and each that comes later.
  void Close(absl::Status why);
  // For the time after the loop's end: lets go of everything, and tells nobody.
  void Abandon();

 private:
  AgentClient(EventLoop& loop, AgentOptions options) : loop_(loop), options_(std::move(options)) {}
  void Connect(GuestConnector::Done done);
  void ConnectFor(const std::shared_ptr<AgentStream>& stream, OnConnected use);
  void Remember(const std::shared_ptr<AgentStream>& stream);

  EventLoop& loop_;
  const AgentOptions options_;
  // All on the loop:
  absl::Status closed_;  // OK while open
  std::shared_ptr<WarmPool> warm_;
  std::shared_ptr<ControlChannel> control_;
  std::vector<std::weak_ptr<AgentStream>> streams_;
  size_t sweep_at_ = 0;  // size of streams_ at which the ended ones are taken out
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_AGENT_CLIENT_H_
