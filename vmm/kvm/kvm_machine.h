// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Our own machine: vCPU threads on KVM, virtio devices behind MMIO windows, a serial console, Linux
// started at its 64-bit entry.
//
// Threading: the event loop's. The vCPU threads are inside.

#ifndef MSB_VMM_KVM_KVM_MACHINE_H_
#define MSB_VMM_KVM_KVM_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
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
#include "vmm/boot/address_map.h"
#include "vmm/boot/command_line.h"
#include "vmm/boot/file_placement.h"
#include "vmm/bus/bus.h"
#include "vmm/devices/virtio/balloon_device.h"
#include "vmm/devices/virtio/empty_place.h"
#include "vmm/devices/virtio/mmio_transport.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/legacy_board.h"
#include "vmm/kvm/machine_state.h"
#include "vmm/kvm/vcpu_thread.h"
#include "vmm/machine/machine.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

struct KvmMachineConfig {
  UniqueFd kvm;  // /dev/kvm
  uint32_t vcpus = 1;
  uint32_t memory_mib = 0;
  // For devices whose queues another process serves: it maps the memory too.
  bool shares_memory = false;
  // Where the machine is to be saved; or the one that it goes on from, which has a kernel.
  std::optional<BootSnapshotFiles> save;
  std::optional<BootSnapshotFiles> restore;
  UniqueFd kernel;     // vmlinux
  UniqueFd initramfs;  // may be invalid: none
  FilePlacement placement = FilePlacement::kMap;
  std::string command_line;     // the spec's own words
  bool emulated_ring0 = false;  // see vm_spec.proto, KvmOptions
  // In the order in which the guest is to find them; the balloon comes behind them. They outlive
  // the machine.
  std::vector<VirtioDevice*> devices;
  Seccomp seccomp = Seccomp::kInForce;  // of the vCPUs' threads
  struct Balloon {
    uint32_t size_mib = 0;  // taken from the guest at the start
    BalloonDevice::Options options;
  };
  std::optional<Balloon> balloon;
  // Takes what the guest writes to its serial console; may be null.
  std::function<void(absl::string_view)> console;
  // Takes the bytes that the guest writes to the boot-mark port; may be null.
  std::function<void(uint8_t stage)> boot_mark;
  // Whether the guest has announced (STAGE_SHUTTING_DOWN) that its end is meant; may be null:
  // never.
  std::function<bool()> shutdown_announced;
};

class KvmMachine final : public Machine, private VcpuThread::Observer {
 public:
  // As many virtio devices, the balloon included, as there are interrupt lines for them.
  static constexpr size_t kMaxDevices = std::size(address_map::kVirtioInterrupts);

  // `loop` and `observer` outlive the machine. The observer may not destroy it from OnEnded.
  KvmMachine(EventLoop& loop, MachineObserver& observer, KvmMachineConfig config);
  KvmMachine(const KvmMachine&) = delete;
  KvmMachine& operator=(const KvmMachine&) = delete;
  ~KvmMachine() override { Stop(); }

  absl::Status Start() override;
  void Pause(Done done) override;
  void Resume(Done done) override;
  void SaveBootSnapshot(Done done) override;
  void Stop() override;
  absl::Status SetBalloon(uint32_t mib) override;
  // Of the vCPUs and the balloon; the devices know the rest.
  msb::vmm::v1::Stats stats() const override;

 private:
  // Pauses and resumes are done one after the other, in the order in which they were asked for.
  struct Transition {
    enum class Kind { kPause, kResume };
    Kind kind;
    Done done;
  };

  // Steps of Start, in this order.
  absl::Status CreateMemory();
  absl::Status LoadGuest();
  absl::Status CreateVm();
  absl::Status PlugDevices();
  absl::Status CreateVcpus();
  absl::Status RestoreState();
  absl::Status StartThreads();

  // Of the devices, and of the empty places behind them.
  std::vector<MmioWindow> Windows() const;
  // A boot snapshot knows nothing of devices: its machine has all places, whatever is in them.
  bool HasEmptyPlaces() const { return config_.save.has_value() || config_.restore.has_value(); }
  absl::StatusOr<GuestMemory> MakeMemory();
  absl::Status SetUpVcpu(Vcpu& vcpu, const kvm::CpuidTable& supported) const;
  // Of a paused machine.
  absl::StatusOr<KvmMachineState> State();
  absl::Status WriteSnapshot();
  void BeginNextTransition();
  void FinishTransition();
  void Unpark();

  // VcpuThread::Observer, on vCPU threads.
  void OnParked(uint32_t vcpu) override;
  void OnEnded(uint32_t vcpu, absl::Status why) override;
  // Their consequences on the loop.
  void CountParked();
  void EndSoon(absl::Status why);
  void End(absl::Status why);
  // A reset that the guest has announced is its shutdown.
  absl::Status Interpret(absl::Status why) const;

  EventLoop& loop_;
  MachineObserver& observer_;
  KvmMachineConfig config_;
  // What is posted to the loop may come to it after the machine is gone.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  EmptyPlace empty_place_;
  std::optional<KvmMachineState> saved_;  // what the machine goes on from, until it does
  Bus ports_;
  Bus mmio_;
  std::optional<Kvm> kvm_;
  std::optional<GuestMemory> memory_;
  std::unique_ptr<BalloonDevice> balloon_;
  GuestAddress entry_{};
  std::optional<Vm> vm_;
  std::unique_ptr<LegacyBoard> board_;
  std::vector<std::unique_ptr<MmioTransport>> transports_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;

  std::deque<Transition> transitions_;
  bool in_transition_ = false;
  bool paused_ = false;
  size_t parked_ = 0;
  bool stopped_ = false;
};

}  // namespace msb

#endif  // MSB_VMM_KVM_KVM_MACHINE_H_
