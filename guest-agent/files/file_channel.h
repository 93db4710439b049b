// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a file operation talks to: the host, behind frames. Operations run on worker threads and may
// block in every call.

#ifndef MSB_GUEST_AGENT_FILES_FILE_CHANNEL_H_
#define MSB_GUEST_AGENT_FILES_FILE_CHANNEL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

class FileChannel {
 public:
  struct Input {
    enum class Kind { kData, kTreeEntry, kEnd };
    Kind kind;
    absl::string_view data;  // kData: valid until the next Receive or ReceiveInto
    agent::v1::TreeEntry entry;
  };

  virtual ~FileChannel() = default;
  // Small frames may wait for others to come along, until Flush, SendData or Receive.
  virtual absl::Status Send(const agent::v1::AgentFrame& frame) = 0;
  // One data frame, at most kMaxDataBytes.
  virtual absl::Status SendData(absl::string_view data) = 0;
  virtual absl::Status Flush() = 0;
  // What the host sends next. kFrameTruncated when it has gone.
  virtual absl::StatusOr<Input> Receive() = 0;
  // The same with data in `room`, from its beginning: a copy less where there is much of it.
  virtual absl::StatusOr<Input> ReceiveInto(absl::Span<char> room) = 0;
  // Much is to come: more of it may be under way, so that the host need not wait while a piece is
  // written. Costs the kernel's memory; for the rest of the operation.
  virtual void ExpectMuch() = 0;
  // False once the host has closed for good; one that only has no more to say still listens.
  virtual bool HostListens() = 0;
  // Readable once the host has gone (or speaks without being asked).
  virtual int poll_fd() const = 0;
};

// Of one data frame.
inline constexpr size_t kMaxDataBytes = 512 * 1024;

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_FILE_CHANNEL_H_
