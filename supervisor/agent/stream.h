// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One operation with the agent: a connection, its frames, and the window that holds the guest up
// when the client is slow.

#ifndef MSB_SUPERVISOR_AGENT_STREAM_H_
#define MSB_SUPERVISOR_AGENT_STREAM_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/wire/frame_socket.h"

namespace msb {

enum class StreamStep { kMore, kDone };

// What comes back. Called on the stream's loop; must not block. Nothing is called after kDone or
// OnEnd.
class AgentFrameSink {
 public:
  virtual ~AgentFrameSink() = default;
  // `cost` bytes of the window are taken until the sink gives them back by
  // AgentStream::Acknowledge; of a frame with data it is the size of that. kDone closes the stream;
  // an error closes it too and comes back as OnEnd.
  virtual absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t cost) = 0;
  // The agent closed in good order (OK), has failed the operation (its reason), broke the protocol,
  // or cannot be reached. An error frame is reported here, not by OnFrame.
  virtual void OnEnd(absl::Status status) = 0;
};

// Thread-safe, unless a comment says otherwise.
class AgentStream : public std::enable_shared_from_this<AgentStream> {
 public:
  AgentStream(EventLoop& loop, std::shared_ptr<AgentFrameSink> sink, size_t window_bytes)
      : loop_(loop), sink_(std::move(sink)), window_bytes_(window_bytes) {}
  AgentStream(const AgentStream&) = delete;
  AgentStream& operator=(const AgentStream&) = delete;

  // `accepted`, if any, is called on the loop once there is room for the next frame: who sends data
  // waits for it, and so is held up by the guest. Not called after the end.
  using Accepted = std::function<void()>;
  void Send(msb::agent::v1::HostFrame frame, Accepted accepted = nullptr);

  void Acknowledge(size_t cost);

  // Ends as if the connection had, with `why`.
  void Break(absl::Status why);

  // Drops the connection without a word and the sink without a call.
  void Close();

  // On the loop, by AgentClient: the frame that opens the operation, the connection for it, and its
  // end from this side.
  void SendFirst(msb::agent::v1::HostFrame frame) { SendNow(std::move(frame), nullptr); }
  void Connected(UniqueFd fd);
  void End(absl::Status status);
  void Drop();
  bool ended() const { return sink_ == nullptr; }

 private:
  void SendNow(msb::agent::v1::HostFrame frame, Accepted accepted);
  void OnPayload(absl::string_view payload);
  void TakeAcknowledged();
  void ReleaseAccepted();

  EventLoop& loop_;
  std::shared_ptr<AgentFrameSink> sink_;
  const size_t window_bytes_;
  std::atomic<size_t> acknowledged_ = 0;
  std::atomic<bool> acknowledge_posted_ = false;
  // On the loop alone:
  std::shared_ptr<FrameSocket> socket_;
  std::vector<std::pair<msb::agent::v1::HostFrame, Accepted>>
      unsent_;  // until there is a connection
  std::vector<Accepted> waiting_;
  size_t unacknowledged_ = 0;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_STREAM_H_
