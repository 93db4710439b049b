// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/policy/filter.h"

#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/base/internal/sysinfo.h"
#include "base/error.h"

namespace msb {
namespace {

absl::Status Refused(int error) {
  return WithReason(Reason::kHostError,
                    "the host's kernel takes no seccomp filters (it needs CONFIG_SECCOMP_FILTER)",
                    absl::ErrnoToStatus(error, "seccomp"));
}

// The part of PrepareLibraries that goes on while the process builds what it serves. Leaked: it
// ends by itself.
std::thread* measuring = nullptr;

// Before the first thread is confined, for it would be confined amidst that.
void FinishPreparing() {
  static const bool finished = [] {
    if (measuring != nullptr) measuring->join();
    return true;
  }();
  static_cast<void>(finished);
}

}  // namespace

void PrepareLibraries() {
  // One heap for all threads, by brk: another would be made of mmap and mprotect.
  ::mallopt(M_ARENA_MAX, 1);
  // The first thread that spins for a Mutex asks how many CPUs there are, and reads files for that.
  // Abseil's own interface, since no other asks and nobody spins on demand.
  absl::base_internal::NumCPUs();
  // The first thread that waits behind another asks how quickly the CPU counts, which takes a look
  // at files and some milliseconds of sleep: in the background.
  if (measuring == nullptr) {
    measuring = new std::thread([] { absl::base_internal::NominalCPUFrequency(); });
  }
}

int Confine(absl::Span<const sock_filter> compiled) {
  if (!kSeccompIsBuiltIn) return 0;
  // Without it, only root may set a filter; and a filter without it could confuse a setuid program.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const sock_fprog program{.len = static_cast<unsigned short>(compiled.size()),
                           .filter = const_cast<sock_filter*>(compiled.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

absl::Status CheckSeccomp() {
  const uint32_t action = SECCOMP_RET_KILL_PROCESS;
  if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) return absl::OkStatus();
  return Refused(errno);
}

absl::Status ConfineThread(SeccompPolicy policy) {
  FinishPreparing();
  const int error = Confine(CompiledPolicy(policy));
  return error == 0 ? absl::OkStatus() : Refused(error);
}

}  // namespace msb
