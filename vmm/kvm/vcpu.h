// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A virtual processor: its registers, and the call that runs it.
//
// Threading: everything belongs to the thread that runs the vCPU (or to the time before it runs),
// but for InterruptRun.

#ifndef MSB_VMM_KVM_VCPU_H_
#define MSB_VMM_KVM_VCPU_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "vmm/kvm/uapi.h"

namespace msb {

class Vcpu {
 public:
  // Takes over a descriptor of KVM_CREATE_VCPU and maps the area it shares with KVM.
  static absl::StatusOr<Vcpu> Create(UniqueFd fd, size_t run_bytes, uint32_t id);
  Vcpu(Vcpu&& other) noexcept;
  Vcpu& operator=(Vcpu&& other) noexcept;
  ~Vcpu();

  uint32_t id() const { return id_; }

  // Runs guest code until it needs us (kExit: see run()) or until somebody called InterruptRun or
  // sent this thread a signal (kInterrupted). A kExit of port or memory I/O is complete, in the
  // guest's eyes, only once the next Run has begun; one that is interrupted at once completes it
  // too. An error is KVM's: kKvmError.
  enum class RunResult { kExit, kInterrupted };
  absl::StatusOr<RunResult> Run();

  // From any thread: the Run that comes next, or that is between its check and the guest, returns
  // kInterrupted at once, until ClearInterrupt. A Run that is inside the guest already needs a
  // signal as well: set first, then send, and no moment is left in which both miss.
  void InterruptRun();
  void ClearInterrupt();

  // What KVM left behind. Shared with the kernel alone, not with the guest.
  kvm_run& run() { return *run_; }
  const kvm_run& run() const { return *run_; }

  absl::StatusOr<kvm_regs> GetRegisters() const;
  absl::Status SetRegisters(const kvm_regs& registers);
  absl::StatusOr<kvm_sregs> GetSpecialRegisters() const;
  absl::Status SetSpecialRegisters(const kvm_sregs& registers);
  absl::Status SetCpuid(const kvm::CpuidTable& table);
  absl::StatusOr<kvm::CpuidTable> GetCpuid() const;
  // An MSR that KVM does not know, or whose value it does not take, is an error that names it.
  absl::Status SetMsrs(const kvm::MsrTable& table);
  absl::StatusOr<kvm::MsrTable> GetMsrs(absl::Span<const uint32_t> indices) const;

  // One ioctl on the vCPU; `argument` points to what the request says.
  absl::Status Control(absl::string_view name, unsigned long request, void* argument) const;

 private:
  Vcpu(UniqueFd fd, kvm_run* run, size_t run_bytes, uint32_t id)
      : fd_(std::move(fd)), run_(run), run_bytes_(run_bytes), id_(id) {}

  absl::Status TransferMsrs(absl::string_view name, unsigned long request,
                            kvm::MsrTable& table) const;

  UniqueFd fd_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  uint32_t id_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_KVM_VCPU_H_
