// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the control socket commands.

#ifndef MSB_VMM_CONTROL_CONTROL_TARGET_H_
#define MSB_VMM_CONTROL_CONTROL_TARGET_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "msb/vmm/v1/control.pb.h"

namespace msb {

// Every call on the event loop's thread.
class ControlTarget {
 public:
  using Done = std::function<void(absl::Status)>;
  virtual ~ControlTarget() = default;

  virtual msb::vmm::v1::Status status() const = 0;
  virtual msb::vmm::v1::Stats stats() const = 0;
  // See Machine. `done` is called once, at once or later.
  virtual void Pause(Done done) = 0;
  virtual void Resume(Done done) = 0;
  virtual absl::Status SetBalloon(uint32_t mib) = 0;
  // Only begins the end: the caller's own answer is sent already, and nothing is destroyed within
  // the call.
  virtual void RequestStop() = 0;
};

}  // namespace msb

#endif  // MSB_VMM_CONTROL_CONTROL_TARGET_H_
