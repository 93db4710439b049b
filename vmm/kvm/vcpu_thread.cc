// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/vcpu_thread.h"

#include <signal.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/kvm/vcpu_exit.h"

namespace msb {
namespace {

// The handlers of port and memory I/O run here; the guest itself needs none of it.
constexpr size_t kStackBytes = 256 * 1024;

int KickSignal() { return SIGRTMIN; }

// Only so that KVM_RUN returns: without SA_RESTART, and with nothing to do.
void InstallKickHandler() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  MSB_CHECK(::sigaction(KickSignal(), &action, nullptr) == 0);
}

// A new thread inherits the mask of its maker: everything is blocked there for the moment, so that
// no other signal of the process is ever served on a vCPU's thread.
int CreateThread(pthread_t* thread, void* (*main)(void*), void* argument) {
  sigset_t all, previous;
  ::sigfillset(&all);
  ::sigdelset(&all, KickSignal());
  ::pthread_sigmask(SIG_SETMASK, &all, &previous);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = ::pthread_create(thread, &attributes, main, argument);
  ::pthread_attr_destroy(&attributes);
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  return error;
}

}  // namespace

VcpuThread::~VcpuThread() { Stop(); }

absl::Status VcpuThread::Start() {
  MSB_CHECK(!started_);
  InstallKickHandler();
  if (const int error = CreateThread(&thread_, &Main, this); error != 0) {
    return WithReason(Reason::kHostError, absl::StrCat("start the thread of vCPU ", vcpu_.id()),
                      absl::ErrnoToStatus(error, "pthread_create"));
  }
  started_ = true;
  return absl::OkStatus();
}

void VcpuThread::Unpark() { Want(Wanted::kRun); }

void VcpuThread::RequestPark() { Want(Wanted::kPark); }

void VcpuThread::Want(Wanted wanted) {
  {
    absl::MutexLock lock(&mutex_);
    if (wanted_ == Wanted::kStop) return;
    wanted_ = wanted;
    if (wanted == Wanted::kPark) ++park_requests_;
    if (wanted == Wanted::kRun) return vcpu_.ClearInterrupt();  // it waits on the mutex
    vcpu_.InterruptRun();
  }
  if (started_) ::pthread_kill(thread_, KickSignal());
}

void VcpuThread::Stop() {
  if (!started_) return;
  Want(Wanted::kStop);
  ::pthread_join(thread_, nullptr);
  started_ = false;
}

void* VcpuThread::Main(void* self) {
  auto& thread = *static_cast<VcpuThread*>(self);
  // By the thread itself: another one would need /proc for it.
  ::pthread_setname_np(::pthread_self(), absl::StrCat("vcpu", thread.vcpu_.id()).c_str());
  absl::Status confined = thread.ConfineIfWanted();
  if (confined.ok()) {
    thread.RunGuest();
  } else {
    thread.observer_.OnEnded(thread.vcpu_.id(), std::move(confined));
  }
  return nullptr;
}

absl::Status VcpuThread::ConfineIfWanted() const {
  if (surroundings_.seccomp == Seccomp::kOffForDebugging) return absl::OkStatus();
  return ConfineThread(SeccompPolicy::kVcpu);
}

void VcpuThread::RunGuest() {
  if (!ParkIfWanted()) return;
  while (true) {
    const absl::StatusOr<Vcpu::RunResult> result = vcpu_.Run();
    exits_.fetch_add(1, std::memory_order_relaxed);
    absl::Status status = result.status();
    if (result.ok() && *result == Vcpu::RunResult::kInterrupted) {
      if (!ParkIfWanted()) return;
      continue;
    }
    if (status.ok()) status = ServeExit();
    if (!status.ok()) return observer_.OnEnded(vcpu_.id(), std::move(status));
  }
}

bool VcpuThread::ParkIfWanted() {
  mutex_.Lock();
  while (wanted_ == Wanted::kPark) {
    if (park_requests_ != parks_reported_) {
      parks_reported_ = park_requests_;
      mutex_.Unlock();
      observer_.OnParked(vcpu_.id());
      mutex_.Lock();
      continue;
    }
    mutex_.Await(absl::Condition(this, &VcpuThread::HasNews));
  }
  const bool go_on = wanted_ == Wanted::kRun;
  mutex_.Unlock();
  return go_on;
}

absl::Status VcpuThread::ServeExit() {
  switch (vcpu_.run().exit_reason) {
    case KVM_EXIT_IO:
      ServePorts();
      return absl::OkStatus();
    case KVM_EXIT_MMIO:
      ServeMmio();
      return absl::OkStatus();
    case KVM_EXIT_INTR:
      return absl::OkStatus();
    default:
      return EndOfVcpu(vcpu_, *surroundings_.memory);
  }
}

// `count` elements of `size` bytes, all at the same port (INS and OUTS repeat).
void VcpuThread::ServePorts() {
  kvm_run& run = vcpu_.run();
  uint8_t* data = reinterpret_cast<uint8_t*>(&run) + run.io.data_offset;
  for (uint32_t i = 0; i < run.io.count; ++i, data += run.io.size) {
    const absl::Span<uint8_t> element(data, run.io.size);
    if (run.io.direction == KVM_EXIT_IO_IN) {
      surroundings_.ports->Read(run.io.port, element);
    } else {
      surroundings_.ports->Write(run.io.port, element);
    }
  }
}

void VcpuThread::ServeMmio() {
  kvm_run& run = vcpu_.run();
  const absl::Span<uint8_t> data(run.mmio.data,
                                 std::min<size_t>(run.mmio.len, sizeof(run.mmio.data)));
  if (run.mmio.is_write) {
    surroundings_.mmio->Write(run.mmio.phys_addr, data);
  } else {
    surroundings_.mmio->Read(run.mmio.phys_addr, data);
  }
}

}  // namespace msb
