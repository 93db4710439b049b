// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host's KVM: an open /dev/kvm that has what this VMM needs.

#ifndef MSB_VMM_KVM_KVM_H_
#define MSB_VMM_KVM_KVM_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "vmm/kvm/uapi.h"
#include "vmm/kvm/vm.h"

namespace msb {

class Kvm {
 public:
  // Takes over an open /dev/kvm. kKvmUnavailable when it is no such thing, or when the kernel lacks
  // a capability that the machine is built on; the message names it.
  static absl::StatusOr<Kvm> Create(UniqueFd device);

  // The CPUID leaves that this host can give to a guest.
  absl::StatusOr<kvm::CpuidTable> SupportedCpuid() const;
  bool HasExtension(int capability) const;
  // The MSRs that this host's KVM saves and restores.
  absl::StatusOr<std::vector<uint32_t>> SupportedMsrs() const;
  absl::StatusOr<Vm> CreateVm() const;

 private:
  Kvm(UniqueFd device, size_t run_bytes) : device_(std::move(device)), run_bytes_(run_bytes) {}

  UniqueFd device_;
  size_t run_bytes_;  // of the area that a vCPU shares with us
};

}  // namespace msb

#endif  // MSB_VMM_KVM_KVM_H_
