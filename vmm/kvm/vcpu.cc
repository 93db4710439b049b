// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {

absl::StatusOr<Vcpu> Vcpu::Create(UniqueFd fd, size_t run_bytes, uint32_t id) {
  void* run = ::mmap(nullptr, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (run == MAP_FAILED) {
    return WithReason(Reason::kKvmError, "map the vCPU's area", absl::ErrnoToStatus(errno, "mmap"));
  }
  return Vcpu(std::move(fd), static_cast<kvm_run*>(run), run_bytes, id);
}

Vcpu::Vcpu(Vcpu&& other) noexcept
    : fd_(std::move(other.fd_)),
      run_(std::exchange(other.run_, nullptr)),
      run_bytes_(other.run_bytes_),
      id_(other.id_) {}

Vcpu& Vcpu::operator=(Vcpu&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(run_, other.run_);
  std::swap(run_bytes_, other.run_bytes_);
  std::swap(id_, other.id_);
  return *this;
}

Vcpu::~Vcpu() {
  if (run_ != nullptr) ::munmap(run_, run_bytes_);
}

absl::StatusOr<Vcpu::RunResult> Vcpu::Run() {
  if (::ioctl(fd_.get(), KVM_RUN, 0) == 0) return RunResult::kExit;
  // EAGAIN: a vCPU that waited for its SIPI has been woken; nothing else to do.
  if (errno == EINTR || errno == EAGAIN) return RunResult::kInterrupted;
  return WithReason(Reason::kKvmError, absl::StrCat("run vCPU ", id_),
                    absl::ErrnoToStatus(errno, "KVM_RUN"));
}

void Vcpu::InterruptRun() {
  std::atomic_ref<uint8_t>(run_->immediate_exit).store(1, std::memory_order_release);
}

void Vcpu::ClearInterrupt() {
  std::atomic_ref<uint8_t>(run_->immediate_exit).store(0, std::memory_order_release);
}

absl::Status Vcpu::Control(absl::string_view name, unsigned long request, void* argument) const {
  const auto result = Syscall(name, [&] { return ::ioctl(fd_.get(), request, argument); });
  if (!result.ok()) {
    return WithReason(Reason::kKvmError, absl::StrCat("vCPU ", id_), result.status());
  }
  return absl::OkStatus();
}

absl::StatusOr<kvm_regs> Vcpu::GetRegisters() const {
  kvm_regs registers{};
  MSB_RETURN_IF_ERROR(Control("KVM_GET_REGS", KVM_GET_REGS, &registers));
  return registers;
}

absl::Status Vcpu::SetRegisters(const kvm_regs& registers) {
  kvm_regs copy = registers;
  return Control("KVM_SET_REGS", KVM_SET_REGS, &copy);
}

absl::StatusOr<kvm_sregs> Vcpu::GetSpecialRegisters() const {
  kvm_sregs registers{};
  MSB_RETURN_IF_ERROR(Control("KVM_GET_SREGS", KVM_GET_SREGS, &registers));
  return registers;
}

absl::Status Vcpu::SetSpecialRegisters(const kvm_sregs& registers) {
  kvm_sregs copy = registers;
  return Control("KVM_SET_SREGS", KVM_SET_SREGS, &copy);
}

absl::Status Vcpu::SetCpuid(const kvm::CpuidTable& table) {
  kvm::CpuidTable copy = table;
  return Control("KVM_SET_CPUID2", kvm::kSetCpuid2, &copy);
}

absl::StatusOr<kvm::CpuidTable> Vcpu::GetCpuid() const {
  kvm::CpuidTable table;
  table.count = kvm::kMaxCpuidEntries;
  MSB_RETURN_IF_ERROR(Control("KVM_GET_CPUID2", kvm::kGetCpuid2, &table));
  return table;
}

// KVM answers with the number of entries that it got through.
absl::Status Vcpu::TransferMsrs(absl::string_view name, unsigned long request,
                                kvm::MsrTable& table) const {
  const auto done = Syscall(name, [&] { return ::ioctl(fd_.get(), request, &table); });
  if (!done.ok()) return WithReason(Reason::kKvmError, absl::StrCat("vCPU ", id_), done.status());
  if (static_cast<uint32_t>(*done) == table.count) return absl::OkStatus();
  return MakeError(Reason::kKvmError, absl::StrFormat("vCPU %u: %s stops at MSR %#x", id_, name,
                                                      table.entries[*done].index));
}

absl::Status Vcpu::SetMsrs(const kvm::MsrTable& table) {
  kvm::MsrTable copy = table;
  return TransferMsrs("KVM_SET_MSRS", kvm::kSetMsrs, copy);
}

absl::StatusOr<kvm::MsrTable> Vcpu::GetMsrs(absl::Span<const uint32_t> indices) const {
  MSB_CHECK(indices.size() <= kvm::kMaxMsrEntries);
  kvm::MsrTable table;
  for (const uint32_t index : indices) table.entries[table.count++].index = index;
  MSB_RETURN_IF_ERROR(TransferMsrs("KVM_GET_MSRS", kvm::kGetMsrs, table));
  return table;
}

}  // namespace msb
