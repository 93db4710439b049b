// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Waiting for a sandbox to come into one of some states.

#ifndef MSB_SUPERVISOR_SANDBOX_STATE_WAIT_H_
#define MSB_SUPERVISOR_SANDBOX_STATE_WAIT_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {

// Lasts for as long as whoever began it holds it. Threading: as Sandbox, but for Cancel.
class StateWait : public std::enable_shared_from_this<StateWait> {
 public:
  using Done = std::function<void(absl::StatusOr<msb::v1::Sandbox>)>;

  // `done` once: the sandbox as it is in one of `states` (empty: stopped or failed), at once if it
  // is already, or kSandboxNotFound when it is removed first.
  static std::shared_ptr<StateWait> Begin(const std::shared_ptr<Sandbox>& sandbox,
                                          std::vector<msb::v1::SandboxState> states, Done done);
  // From any thread: `done` is let go of without a call.
  void Cancel();

 private:
  StateWait(std::shared_ptr<Sandbox> sandbox, std::vector<msb::v1::SandboxState> states, Done done);
  void Look();
  void End();

  EventLoop& loop_;
  std::shared_ptr<Sandbox> sandbox_;
  const std::vector<msb::v1::SandboxState> states_;
  Done done_;
  uint64_t observer_ = 0;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_STATE_WAIT_H_
