// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Seccomp: which system calls a thread may make. The filters were compiled from their rules when
// this program was built, so that confining a thread costs one system call.
//
// A call that no rule names ends the process with SIGSYS, whichever thread made it; the kernel's
// log then names the call (docs/errors.md, VMM_DIED).

#ifndef MSB_JAILER_POLICY_FILTER_H_
#define MSB_JAILER_POLICY_FILTER_H_

#include <linux/filter.h>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace msb {

// A kind of thread, or of child, that has a policy of its own (rule.h).
enum class SeccompPolicy {
  kKvmLoop,   // msb-vmm's event loop, engine kvm
  kQemuLoop,  // msb-vmm's event loop, engine qemu, once QEMU runs
  kKvmSave,   // the two of machines that are to be saved as boot snapshots
  kQemuSave,
  kVcpu,
  kDisk,
  kQemu,        // a whole process, from its exec on
  kNet,         // msb-net, once it serves
  kSecrets,     // msb-secrets, once it serves
  kFileServer,  // msb-fs, once it serves
};

// Whether a process confines its threads. Everything but kInForce is for a developer at his own
// host: such a process lacks one of its walls.
enum class Seccomp { kInForce, kOffForDebugging };

// False in builds with sanitizers (MSB_SANITIZED): their runtimes make calls that no policy allows,
// so there ConfineThread and Confine do nothing.
#ifdef MSB_SANITIZED
inline constexpr bool kSeccompIsBuiltIn = false;
#else
inline constexpr bool kSeccompIsBuiltIn = true;
#endif

// The policy as the kernel takes it. Lives as long as the program.
absl::Span<const sock_filter> CompiledPolicy(SeccompPolicy policy);

// Once, by a process that will confine its threads, before it has more than one: what the C and C++
// libraries do at their first use only, or by other calls in a thread's own heap, is done now or
// not at all, so that no policy has to name it.
void PrepareLibraries();

// OK where ConfineThread will succeed; kHostError where the kernel has no such filters.
absl::Status CheckSeccomp();

// Confines the calling thread, and every thread and child that it makes from now on, for good. Sets
// no_new_privs. kHostError as CheckSeccomp.
absl::Status ConfineThread(SeccompPolicy policy);

// The same for the child of a fork: async-signal-safe. 0, or an errno.
int Confine(absl::Span<const sock_filter> compiled);

}  // namespace msb

#endif  // MSB_JAILER_POLICY_FILTER_H_
