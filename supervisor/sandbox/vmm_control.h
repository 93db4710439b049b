// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The control socket of one VMM (proto/msb/vmm/v1/control.proto).

#ifndef MSB_SUPERVISOR_SANDBOX_VMM_CONTROL_H_
#define MSB_SUPERVISOR_SANDBOX_VMM_CONTROL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "msb/vmm/v1/control.pb.h"
#include "supervisor/wire/frame_socket.h"
#include "supervisor/wire/pending_requests.h"

namespace msb {

// The VMM is hostile once its guest has broken out into it: its frames are checked, its words are
// cut. Threading: the loop's thread only.
class VmmControl : public std::enable_shared_from_this<VmmControl> {
 public:
  using OnResponse = std::function<void(absl::StatusOr<msb::vmm::v1::ControlResponse>)>;
  using OnEvent = std::function<void(const msb::vmm::v1::VmEvent&)>;

  // Connects and watches: `on_event` gets every event so far and each new one. kVmmDied when the
  // VMM does not listen any more.
  static absl::StatusOr<std::shared_ptr<VmmControl>> Connect(EventLoop& loop,
                                                             const std::string& socket_path,
                                                             absl::Duration request_timeout,
                                                             OnEvent on_event);
  VmmControl(const VmmControl&) = delete;
  VmmControl& operator=(const VmmControl&) = delete;

  // `done` once, from the loop: a response that is no error, or the error; kVmmDied once the
  // connection is gone.
  void Status(OnResponse done);
  void Pause(OnResponse done);
  void Resume(OnResponse done);
  void Stats(OnResponse done);
  // No event and no response comes any more.
  void Close();

 private:
  VmmControl(EventLoop& loop, absl::Duration request_timeout, OnEvent on_event)
      : loop_(loop),
        request_timeout_(request_timeout),
        on_event_(std::move(on_event)),
        pending_(loop) {}
  absl::Status Open(const std::string& socket_path);
  void Request(msb::vmm::v1::ControlRequest request, OnResponse done);
  void OnPayload(absl::string_view payload);
  void Fail(const absl::Status& why);

  EventLoop& loop_;
  const absl::Duration request_timeout_;
  OnEvent on_event_;
  std::shared_ptr<FrameSocket> socket_;
  PendingRequests<msb::vmm::v1::ControlResponse> pending_;
};

// What a VMM says went wrong: a number of the catalogue, or kVmmDied, and a text fit for a client.
absl::Status StatusFromVmm(int reason, absl::string_view message);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_VMM_CONTROL_H_
