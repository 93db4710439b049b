// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One client of the control socket.
//
// Threading: the event loop's.

#ifndef MSB_VMM_CONTROL_CONTROL_CONNECTION_H_
#define MSB_VMM_CONTROL_CONTROL_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"
#include "vmm/control/control_server.h"
#include "vmm/control/control_target.h"
#include "vmm/control/event_journal.h"

namespace msb {

// Shared, since a pause that was asked for is answered later, if its client is still there.
class ControlConnection : public std::enable_shared_from_this<ControlConnection> {
 public:
  // `gone` is called once, from the loop, when the client has left or was hung up on; it drops the
  // owner's reference.
  static absl::StatusOr<std::shared_ptr<ControlConnection>> Create(EventLoop& loop, UniqueFd socket,
                                                                   ControlTarget& target,
                                                                   EventJournal& journal,
                                                                   const ControlLimits& limits,
                                                                   std::function<void()> gone);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;
  ~ControlConnection();

 private:
  using Request = msb::vmm::v1::ControlRequest;
  using Response = msb::vmm::v1::ControlResponse;

  ControlConnection(EventLoop& loop, UniqueFd socket, ControlTarget& target, EventJournal& journal,
                    const ControlLimits& limits, std::function<void()> gone);
  void OnReady(uint32_t events);
  // What the client has sent, as far as one turn goes; false when it is gone.
  bool Receive();
  absl::Status HandleFrames();
  absl::Status HandleRequest(absl::string_view frame);
  void StartWatch(uint64_t id);
  // Answers request `id` by how a pause or resume ends.
  ControlTarget::Done AnswerLater(uint64_t id);
  bool TakePlace(uint64_t id);

  void Answer(const Response& response);
  void AnswerOk(uint64_t id);
  void AnswerStatus(uint64_t id, const absl::Status& status);
  void AnswerEvent(uint64_t id, const msb::vmm::v1::VmEvent& event);
  void Send();
  void HangUp();

  EventLoop& loop_;
  UniqueFd socket_;
  ControlTarget& target_;
  EventJournal& journal_;
  const ControlLimits limits_;
  std::function<void()> gone_;
  FrameReader reader_;
  std::string unsent_;
  bool wants_write_ = false;
  size_t under_way_ = 0;
  std::vector<EventJournal::Subscription> watches_;
};

}  // namespace msb

#endif  // MSB_VMM_CONTROL_CONTROL_CONNECTION_H_
