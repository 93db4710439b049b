// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes of AgentFrames. The headers of bulk frames are made by hand, so that the bulk itself goes
// from where it lies to the socket without a copy.

#ifndef MSB_GUEST_AGENT_LINK_WIRE_H_
#define MSB_GUEST_AGENT_LINK_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "guest-agent/exec/execution.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Most bytes that one data or output frame carries (the protocol allows 1 MiB): enough that the
// cost of a frame does not show, little enough that stderr does not wait long behind stdout.
inline constexpr size_t kChunkBytes = 256 * 1024;

// What the host sends as bulk (base/frame_input.h).
inline constexpr int kHostBulkFields[] = {agent::v1::HostFrame::kStdinFieldNumber,
                                          agent::v1::HostFrame::kDataFieldNumber};

// Length and message.
std::string EncodeFrame(const agent::v1::AgentFrame& frame);

// `status` is an error. Its text, which may quote what the image or a client made, leaves as
// printable ASCII.
agent::v1::Error ToError(const absl::Status& status);
agent::v1::AgentFrame ErrorFrame(const absl::Status& status);

// Everything of the frame but its last `size` bytes, the content.
std::string OutputFrameHeader(OutputStream stream, uint64_t offset, size_t size);
std::string DataFrameHeader(size_t size);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_WIRE_H_
