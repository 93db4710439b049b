// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest as pid 1 sees it, and its end: every process is asked to end, then made to; file
// systems are written back and closed; the host is told; the machine is reset, which the VMM takes
// as the end.

#ifndef MSB_GUEST_AGENT_BOOT_INIT_GUEST_H_
#define MSB_GUEST_AGENT_BOOT_INIT_GUEST_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "guest-agent/boot/boot_marks.h"
#include "guest-agent/link/guest.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// What processes get to end in when a person in the guest asks for the end (reboot, poweroff).
inline constexpr absl::Duration kDefaultGrace = absl::Seconds(5);
// How long killed processes are waited for; one that the kernel holds is left behind.
inline constexpr absl::Duration kKillWait = absl::Seconds(2);
// How long the last mark is waited for.
inline constexpr absl::Duration kLastMarkWait = absl::Milliseconds(500);

[[noreturn]] void ResetMachine();

// Belongs to the loop's thread.
class InitGuest final : public Guest {
 public:
  explicit InitGuest(BootMarks& marks) : marks_(marks) {}

  // Before anything else. `on_shutdown` is called when the end begins.
  void SetLoop(EventLoop& loop, std::function<void()> on_shutdown);
  // Root of the file system below the root's overlay. Before the first call from the host.
  void SetWritableLayer(UniqueFd top) { writable_layer_ = std::move(top); }

  absl::Status SetClock(uint64_t nanoseconds) override;
  agent::v1::GuestStats Stats() override;
  absl::Status MountAll(const agent::v1::MountAll& request) override;
  absl::StatusOr<std::vector<std::string>> TrustCa(const std::string& pem) override;
  void BeginShutdown(const ShutdownRequest& request) override;

  // The last child has been reaped: during a shutdown nothing is left to wait for.
  void OnNoChildren();

 private:
  void AskCommands(const ShutdownRequest& request);
  void AskAll();
  void OnCommandEnded(int pidfd);
  void KillAll();
  [[noreturn]] void End();

  BootMarks& marks_;
  UniqueFd writable_layer_;
  EventLoop* loop_ = nullptr;
  std::function<void()> on_shutdown_;
  bool ending_ = false;
  std::vector<UniqueFd> asked_;  // pidfds of the commands that know the image's stop signal
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_INIT_GUEST_H_
