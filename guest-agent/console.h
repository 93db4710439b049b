// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Lines on the guest's console, for people who ask why a sandbox does not start. Not base/log.h:
// its streams would cost pid 1 more memory and page faults than everything else that it does at
// boot.

#ifndef MSB_GUEST_AGENT_CONSOLE_H_
#define MSB_GUEST_AGENT_CONSOLE_H_

#include "absl/strings/string_view.h"

namespace msb {

// "msb-agent: <line>" on stderr, in one write(2). Thread-safe.
void WriteConsole(absl::string_view line);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_CONSOLE_H_
