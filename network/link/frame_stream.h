// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Our end of the wire: Ethernet frames over a connected Unix stream socket, each behind a 4-byte
// big-endian length. What is sent is collected and leaves by one sendmsg a turn.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_LINK_FRAME_STREAM_H_
#define MSB_NETWORK_LINK_FRAME_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "network/packet/frame_builder.h"
#include "network/packet/wire.h"

namespace msb::net {

class FrameStream {
 public:
  static constexpr size_t kMaxFrameBytes = 65535 + 14 + 4;
  // More than this waiting, and those who make frames of what they read should stop reading.
  static constexpr size_t kHighWaterBytes = 1 << 20;
  // More than this, and answers of ours are dropped. A download fills the queue up to the mark
  // above and keeps it there; this room behind its bytes is theirs.
  static constexpr size_t kAnswersBytes = kHighWaterBytes + kHighWaterBytes / 2;
  // Of what waits for a guest that takes nothing; what comes then is lost, as on any wire.
  static constexpr size_t kMaxQueuedBytes = 2 * kHighWaterBytes;

  struct Handlers {
    std::function<void(Bytes frame)> on_frame;
    std::function<void()> on_batch_end;  // behind the frames of one turn
    std::function<void()> on_drained;    // below the high water mark again
    std::function<void(absl::Status)> on_end;
  };

  // `loop` outlives the stream.
  FrameStream(EventLoop& loop, UniqueFd socket, Handlers handlers);
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;
  ~FrameStream();

  absl::Status Start();
  // Drops what is longer than a frame may be: the other end would take it for the link's end.
  void Send(Frame frame);
  bool congested() const { return queued_bytes_ >= kHighWaterBytes; }
  bool takes_answers() const { return queued_bytes_ < kAnswersBytes; }
  size_t queued_bytes() const { return queued_bytes_; }
  // Sends what has been collected; by itself at the end of each turn.
  void Flush();
  // Leaves the guest's frames where they are, so that it has to wait.
  void PauseReading();
  void ResumeReading();

 private:
  void OnEvents(uint32_t events);
  void ReadFrames();
  size_t HandleBuffered();
  void UpdateWatch();
  void FlushLater();
  void TellDrainedLater();
  void End(absl::Status why);

  struct Queued {
    uint8_t length[4];
    Frame frame;
  };
  EventLoop& loop_;
  UniqueFd socket_;
  Handlers handlers_;
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::deque<Queued> queue_;
  size_t sent_of_first_ = 0;
  size_t queued_bytes_ = 0;
  bool reading_ = true;
  bool writable_ = true;
  bool flush_planned_ = false;
  EventLoop::TimerId flush_timer_{};
  bool drained_planned_ = false;
  EventLoop::TimerId drained_timer_{};
  uint32_t watched_ = 0;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_LINK_FRAME_STREAM_H_
