// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The place where a guest is saved as a boot snapshot (docs/boot-snapshots.md), and from which
// every guest that is made of it goes on.

#ifndef MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_
#define MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "guest-agent/boot/parameters.h"

namespace msb {

// Binds the kernel's driver to the devices of a machine that had none when it booted, in the order
// of their places.
class LateDevices {
 public:
  // Needs /sys. kSandboxStartFailed.
  static absl::StatusOr<LateDevices> Open();

  // Says on the console that it waits, which is when the host saves the machine, and returns once
  // there is a device in the first place, and bound. So the guest that is saved waits here until it
  // ends; what returns is a new one.
  absl::Status AwaitFirst();
  // All in the first `count` places. An empty one among them is an error.
  absl::Status Bind(int count);
  // In a thread of its own, after a while: what can wait until the guest serves. A device that
  // cannot be bound is told on the console.
  void BindRestLater() &&;

 private:
  explicit LateDevices(UniqueFd bind) : bind_(std::move(bind)) {}
  absl::StatusOr<bool> BindNext();

  UniqueFd bind_;
  int next_ = 0;  // place
};

struct HostBoot {
  BootParameters parameters;
  int devices = 0;  // that the boot needs
};
// Asks the host what this guest is to be. Behind it the kernel's generator has a state that no
// other guest of the snapshot shares, and the clock is the host's.
absl::StatusOr<HostBoot> ReceiveBootParameters();

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_BOOT_SNAPSHOT_H_
