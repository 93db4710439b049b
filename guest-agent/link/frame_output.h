// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What waits to be sent on one connection: frames, and spans of output rings that are sent from
// where they lie. Everything that waits leaves in one sendmsg(2), since each is a packet and an
// interrupt.

#ifndef MSB_GUEST_AGENT_LINK_FRAME_OUTPUT_H_
#define MSB_GUEST_AGENT_LINK_FRAME_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "guest-agent/exec/execution.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

class FrameOutput {
 public:
  enum class FlushResult { kAllSent, kWouldBlock, kGone };

  void Append(const agent::v1::AgentFrame& frame);
  // The bytes [offset, offset + size) of `ring`, which keeps them until they are sent or copied.
  void AppendOutput(OutputStream stream, const OutputRing& ring, uint64_t offset, size_t size);

  // Never blocks, never raises SIGPIPE.
  FlushResult Flush(int socket);

  bool empty() const { return segments_.empty(); }
  size_t bytes() const { return bytes_; }
  // Bytes of `ring` that wait.
  size_t Waiting(const OutputRing& ring) const;
  // Copies what waits out of the rings, which need not keep it any longer.
  void CopyRings();

 private:
  struct Segment {
    std::string bytes;
    const OutputRing* ring = nullptr;  // null: `bytes` are sent
    uint64_t offset = 0;               // in the ring, or in `bytes`
    size_t size = 0;                   // from `offset` on
  };
  void AppendBytes(std::string bytes);
  void Advance(size_t sent);

  std::deque<Segment> segments_;
  size_t bytes_ = 0;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_FRAME_OUTPUT_H_
