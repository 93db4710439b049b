// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One sandbox's machine from the spec to its end: builds the devices and the engine, serves the
// control socket, times the boot, and leaves word of why it ended.
//
// Threading: the event loop's.

#ifndef MSB_VMM_MACHINE_VMM_H_
#define MSB_VMM_MACHINE_VMM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "jailer/policy/filter.h"
#include "msb/agent/v1/agent.pb.h"
#include "msb/vmm/v1/control.pb.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "vmm/control/control_server.h"
#include "vmm/control/control_target.h"
#include "vmm/control/event_journal.h"
#include "vmm/devices/virtio/vsock/mark_service.h"
#include "vmm/machine/boot_snapshot.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/device_set.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/spec_descriptors.h"

namespace msb {

class Vmm final : public ControlTarget, public MachineObserver, public BootMarkObserver {
 public:
  // `spec` has passed ValidateSpec, and this process owns the descriptors that it names.
  // `started_ns` (CLOCK_MONOTONIC) is when the process began. `loop` outlives the Vmm.
  Vmm(EventLoop& loop, msb::vmm::v1::VmSpec spec, uint64_t started_ns, Seccomp seccomp);
  Vmm(const Vmm&) = delete;
  Vmm& operator=(const Vmm&) = delete;
  ~Vmm() override;

  // Builds the machine, runs it to its end and returns why it ended: never OK. By then nothing of
  // the machine runs, everybody who watches has been told, and the exit event is written. Unless
  // seccomp is off, the calling thread is confined from the end of the building on, for good.
  absl::Status Run();

  // ControlTarget.
  msb::vmm::v1::Status status() const override;
  msb::vmm::v1::Stats stats() const override;
  void Pause(Done done) override;
  void Resume(Done done) override;
  absl::Status SetBalloon(uint32_t mib) override;
  void RequestStop() override;

  // BootMarkObserver: the agent's, by vsock; tiny guests' come by a port and end here too.
  void OnBootMark(const msb::agent::v1::BootMark& mark) override;

 private:
  // MachineObserver.
  void OnMachineReady() override;
  void OnEnded(absl::Status why) override { End(std::move(why)); }

  absl::Status Build();
  absl::Status BuildConsole();
  absl::Status ConfineLoop() const;
  void StartBootTimer();
  void OnBootTimeout();
  void RecordStage(const msb::agent::v1::BootMark& mark);
  void OnConsole(absl::string_view bytes);
  void SaveIfAgentWaits(absl::string_view console);
  // The first reason is the one that counts.
  void End(absl::Status why);
  void Conclude();

  EventLoop& loop_;
  const msb::vmm::v1::VmSpec spec_;
  const uint64_t started_ns_;
  const Seccomp seccomp_;
  SpecDescriptors descriptors_;
  UniqueFd exit_event_;
  EventJournal journal_;
  std::unique_ptr<ControlServer> control_;
  std::optional<ConsoleLog> console_;
  bool console_failed_ = false;
  WaitingAgentDetector waiting_agent_;  // of a machine that is to be saved
  std::unique_ptr<DeviceSet> devices_;  // outlives the machine
  std::unique_ptr<Machine> machine_;
  std::optional<EventLoop::TimerId> boot_timer_;
  bool paused_ = false;
  std::optional<absl::Status> end_;
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_VMM_H_
