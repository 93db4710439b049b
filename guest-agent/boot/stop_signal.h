// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whom the stop signal of an image is for, when the guest ends.
//
// It is meant for a command that knows what to do with it, such as a server that first ends its
// requests. What such a command has started is its own business for as long as it lives.

#ifndef MSB_GUEST_AGENT_BOOT_STOP_SIGNAL_H_
#define MSB_GUEST_AGENT_BOOT_STOP_SIGNAL_H_

#include <sys/types.h>

#include <vector>

#include "absl/types/span.h"

namespace msb {

// Those of `processes` that have a handler for `signal`, or block it in order to wait for it.
// SIGKILL, which asks nobody, is known to each.
std::vector<pid_t> ProcessesThatKnow(int signal, absl::Span<const pid_t> processes);

// Every process that neither is one of `roots` nor descends from one, but for pid 1. Parents come
// before what they have started: a shell that waits for a command must have the signal by the time
// that the command's end wakes it, or it would go on and end as if nobody had asked.
std::vector<pid_t> ProcessesOutside(absl::Span<const pid_t> roots);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_STOP_SIGNAL_H_
