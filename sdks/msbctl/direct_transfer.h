// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A transfer past the daemon (OpenTransferRequest of msb/v1/files.proto): this process and the
// agent in the guest, with nobody between them but the VMM. Every frame that comes is a hostile
// guest's.

#ifndef MSB_SDKS_MSBCTL_DIRECT_TRANSFER_H_
#define MSB_SDKS_MSBCTL_DIRECT_TRANSFER_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/frame_input.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/files.pb.h"
#include "sdks/msbctl/client.h"
#include "sdks/msbctl/transfer.h"

namespace msb {

// Threading: one thread's.
class DirectTransfer {
 public:
  // `request` without its version. Null: this daemon is not to be reached so, by its calls it is.
  static absl::StatusOr<std::unique_ptr<DirectTransfer>> Open(const Endpoint& endpoint,
                                                              msb::v1::OpenTransferRequest request);

  // `daemon`: the connection that asked; `guest`: what came of it.
  DirectTransfer(UniqueFd daemon, UniqueFd guest);
  DirectTransfer(const DirectTransfer&) = delete;
  DirectTransfer& operator=(const DirectTransfer&) = delete;

  // False when the guest takes no more: Receive says why. What is small waits for more to go along,
  // until Receive.
  bool Send(const msb::agent::v1::HostFrame& frame);
  bool SendData(absl::string_view data);
  // Whether there is something to Receive.
  bool HasInput() const;

  // The next frame, or piece of data, of the guest; valid until the next call. Errors: what the
  // guest says has failed, and an end before the operation's.
  struct Input {
    const msb::agent::v1::AgentFrame* frame = nullptr;  // none: data
    absl::string_view data;
  };
  absl::StatusOr<Input> Receive();

 private:
  bool SendBehindWaiting(absl::string_view data);
  absl::StatusOr<Input> ReceiveData();
  absl::Status Broken() const;

  const UniqueFd daemon_;
  const UniqueFd guest_;
  FrameInput input_;
  std::string waiting_;          // to be sent
  size_t consumed_by_next_ = 0;  // Receive: the message that the last one gave
  bool last_was_large_ = false;
  std::unique_ptr<char[]> data_;
  msb::agent::v1::AgentFrame frame_;
};

std::unique_ptr<Upload> NewDirectUpload(std::unique_ptr<DirectTransfer> transfer);
std::unique_ptr<Download> NewDirectDownload(std::unique_ptr<DirectTransfer> transfer);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_DIRECT_TRANSFER_H_
