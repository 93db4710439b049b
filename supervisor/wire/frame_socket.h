// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A connected Unix stream socket that carries frames (base/frames.h), served by an event loop.
//
// The peer is a guest or a VMM and hostile: what it announces is checked by FrameReader, what is
// held of it is at most one frame and one read. Threading: the loop's thread only.

#ifndef MSB_SUPERVISOR_WIRE_FRAME_SOCKET_H_
#define MSB_SUPERVISOR_WIRE_FRAME_SOCKET_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/unique_fd.h"

namespace google::protobuf {
class MessageLite;
}

namespace msb {

class FrameSocket : public std::enable_shared_from_this<FrameSocket> {
 public:
  struct Handler {
    std::function<void(absl::string_view payload)> on_frame;
    // Once, and the last call: OK at a clean end of stream, else what broke. Not after Close.
    std::function<void(absl::Status)> on_closed;
    // No more than `low_water_bytes` of what was queued wait to be sent; again and again while so.
    std::function<void()> on_drained;
    size_t low_water_bytes = 0;
  };

  // Frames come as soon as the loop turns; the socket lives until it is closed by either side, or
  // the last reference goes.
  static std::shared_ptr<FrameSocket> Serve(EventLoop& loop, UniqueFd fd, Handler handler);
  ~FrameSocket();
  FrameSocket(const FrameSocket&) = delete;
  FrameSocket& operator=(const FrameSocket&) = delete;

  // Queues one frame. kFrameTooLarge when the peer would refuse it. Does nothing after the end.
  absl::Status Send(const google::protobuf::MessageLite& message);
  size_t queued_bytes() const { return queued_bytes_; }

  // While off, the peer's bytes stay in the kernel, whose full buffer stops the peer.
  void SetReading(bool reading);

  // Calls no handler any more and lets go of them.
  void Close();
  bool closed() const { return !fd_.valid(); }

 private:
  FrameSocket(EventLoop& loop, UniqueFd fd, Handler handler);
  void OnReady(uint32_t events);
  void Receive();
  // False when the socket was closed or paused by a handler.
  bool DeliverFrames();
  void Flush();
  void UpdateWatch();
  void Unregister();
  void DropQueue();
  void End(absl::Status status);

  EventLoop& loop_;
  UniqueFd fd_;
  // Shared with the frames under way: a handler may end the socket that calls it.
  std::shared_ptr<Handler> handler_;
  FrameReader reader_;
  std::deque<std::string> queue_;
  size_t front_sent_ = 0;  // of queue_.front()
  size_t queued_bytes_ = 0;
  bool reading_ = true;
  bool delivering_ = false;
  bool hung_up_ = false;     // seen while not reading: what is left is read first
  bool registered_ = false;  // with the loop, for the events of watched_
  uint32_t watched_ = 0;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_WIRE_FRAME_SOCKET_H_
