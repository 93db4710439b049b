// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A machine whose CPUs and memory are those of a QEMU process (its child), with our own virtio
// devices over vhost-user. Only the balloon is QEMU's: the protocol knows none.
//
// Threading: the event loop's.

#ifndef MSB_VMM_QEMU_QEMU_MACHINE_H_
#define MSB_VMM_QEMU_QEMU_MACHINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "jailer/policy/filter.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/machine/machine.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/host_tsc.h"
#include "vmm/qemu/process.h"
#include "vmm/qemu/qmp_client.h"
#include "vmm/vhost_user/device_server.h"

namespace msb {

struct QemuMachineConfig {
  uint32_t vcpus = 1;
  uint32_t memory_mib = 0;
  // Where the machine is to be saved; or the one that it goes on from, which has a kernel.
  std::optional<BootSnapshotFiles> save;
  std::optional<BootSnapshotFiles> restore;
  UniqueFd kernel;           // vmlinux
  UniqueFd initramfs;        // may be invalid: none
  std::string command_line;  // the spec's own words
  std::string directory;     // QEMU's, see deploy/qemu
  QemuAccelerator accelerator = QemuAccelerator::kTcg;
  struct Balloon {
    uint32_t size_mib = 0;
    QemuCommandLineInput::Balloon options;
  };
  std::optional<Balloon> balloon;
  // In the order in which the guest is to find them. They outlive the machine.
  std::vector<VirtioDevice*> devices;
  Seccomp seccomp = Seccomp::kInForce;  // of QEMU
  // Takes what the guest writes to its serial console; may be null.
  std::function<void(absl::string_view)> console;
  // Whether the guest has announced (STAGE_SHUTTING_DOWN) that its end is meant; may be null:
  // never.
  std::function<bool()> shutdown_announced;
};

class QemuMachine final : public Machine, private QmpObserver {
 public:
  // `loop` and `observer` outlive the machine. The observer may not destroy it from OnEnded.
  QemuMachine(EventLoop& loop, MachineObserver& observer, QemuMachineConfig config);
  ~QemuMachine() override { Stop(); }

  // Starts QEMU and returns; OnMachineReady comes when it has built the machine. /proc must be
  // mounted: QEMU opens its kernel as /proc/self/fd/N.
  absl::Status Start() override;
  void Pause(Done done) override;
  void Resume(Done done) override;
  void SaveBootSnapshot(Done done) override;
  void Stop() override;
  absl::Status SetBalloon(uint32_t mib) override;
  // Of the balloon; the devices know the rest.
  msb::vmm::v1::Stats stats() const override;

 private:
  void OnQmpReady() override;
  void OnQmpShutdown(absl::string_view reason) override;
  void OnQmpBalloonChange(uint64_t bytes) override;
  void OnQmpEnd(absl::Status why) override;

  absl::StatusOr<std::vector<std::string>> BuildCommandLine(QemuCommandLineInput input);
  // Steps of going on from a saved machine, which QEMU takes while it starts.
  absl::Status GoOnFromSnapshot();
  void OnStateRestored(const absl::Status& status);
  absl::StatusOr<int> Connect(UniqueFd& ours);
  absl::Status ServeDevices(QemuCommandLineInput& input);
  absl::Status Serve(VirtioDevice& device, UniqueFd socket);
  absl::Status AwaitNetConnection(VirtioDevice& device, QemuCommandLineInput& input);
  void OnNetConnection(VirtioDevice& device);
  void OnConfig(const VirtioDevice& device);
  absl::Status ServeConsole();
  void OnConsole();
  enum class ConsoleRead { kData, kNothing, kEnd };
  ConsoleRead ReadConsole();
  void OnExit(ProcessEnd end);
  absl::Status EndOf(const ProcessEnd& end) const;
  // Kills QEMU and tells the observer, once.
  void End(absl::Status why);

  EventLoop& loop_;
  MachineObserver& observer_;
  QemuMachineConfig config_;
  HostTscMeter tsc_;
  std::vector<UniqueFd> inherited_;  // QEMU's ends of the sockets, until it has them
  UniqueFd memory_;                  // of a machine that is saved, or goes on from one
  UniqueFd console_;
  UniqueFd net_listener_;  // until QEMU has connected
  vhost_user::MemoryTables memory_tables_;
  std::vector<std::unique_ptr<vhost_user::DeviceServer>> servers_;
  std::unique_ptr<QmpClient> qmp_;
  std::unique_ptr<QemuProcess> process_;
  std::string shutdown_reason_;  // QEMU's word for it
  uint64_t balloon_bytes_ = 0;   // what the guest has given
  const bool incoming_;          // goes on from a snapshot
  bool ended_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_QEMU_QEMU_MACHINE_H_
