// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The thread of a vCPU: runs it, serves its port and memory I/O, and can be parked and stopped at
// any instruction.
//
// Parking is free of races: the request is written down, then immediate_exit is set, then the
// signal is sent. A vCPU inside the guest leaves by the signal; one on its way into KVM_RUN leaves
// by immediate_exit; one that serves an exit finishes it, and the KVM_RUN behind it returns at once
// with the instruction complete. So a parked vCPU never stands within an instruction.

#ifndef MSB_VMM_KVM_VCPU_THREAD_H_
#define MSB_VMM_KVM_VCPU_THREAD_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "jailer/policy/filter.h"
#include "vmm/bus/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

// What a vCPU reaches outside itself, all of which outlives it, and whether its thread is confined.
struct VcpuSurroundings {
  const Bus* ports = nullptr;
  const Bus* mmio = nullptr;
  const GuestMemory* memory = nullptr;
  Seccomp seccomp = Seccomp::kInForce;
};

class VcpuThread {
 public:
  // Called on the vCPU's thread.
  class Observer {
   public:
    virtual ~Observer() = default;
    // Behind a RequestPark: this vCPU executes nothing until Unpark.
    virtual void OnParked(uint32_t vcpu) = 0;
    // This vCPU cannot go on (see vcpu_exit.h); its thread is about to end.
    virtual void OnEnded(uint32_t vcpu, absl::Status why) = 0;
  };

  VcpuThread(Vcpu vcpu, const VcpuSurroundings& surroundings, Observer& observer)
      : vcpu_(std::move(vcpu)), surroundings_(surroundings), observer_(observer) {}
  VcpuThread(const VcpuThread&) = delete;
  VcpuThread& operator=(const VcpuThread&) = delete;
  // Stops.
  ~VcpuThread();

  // Makes the thread; it is parked, and says nothing of it. Once.
  absl::Status Start();
  // Each Unpark follows on Start or on an OnParked.
  void Unpark();
  void RequestPark();
  // Returns when the thread has ended. Waits for an I/O handler that is running, so the caller
  // holds nothing that such a handler waits for.
  void Stop();

  // While parked, or before Start.
  Vcpu& vcpu() { return vcpu_; }
  // From any thread: how often the vCPU has left the guest.
  uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }

 private:
  enum class Wanted { kRun, kPark, kStop };

  static void* Main(void* self);
  absl::Status ConfineIfWanted() const;
  void RunGuest();
  // Stays while parked. False when the thread is to end.
  bool ParkIfWanted() ABSL_LOCKS_EXCLUDED(mutex_);
  // OK when the guest goes on.
  absl::Status ServeExit();
  void ServePorts();
  void ServeMmio();
  void Want(Wanted wanted) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasNews() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return wanted_ != Wanted::kPark || park_requests_ != parks_reported_;
  }

  Vcpu vcpu_;
  const VcpuSurroundings surroundings_;
  Observer& observer_;
  pthread_t thread_{};
  bool started_ = false;
  std::atomic<uint64_t> exits_{0};
  absl::Mutex mutex_;
  Wanted wanted_ ABSL_GUARDED_BY(mutex_) = Wanted::kPark;
  // A request that comes before the thread has woken from the one before is reported too.
  uint64_t park_requests_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t parks_reported_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace msb

#endif  // MSB_VMM_KVM_VCPU_THREAD_H_
