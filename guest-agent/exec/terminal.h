// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Pseudo-terminals (pty(7)).

#ifndef MSB_GUEST_AGENT_EXEC_TERMINAL_H_
#define MSB_GUEST_AGENT_EXEC_TERMINAL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Both ends, close-on-exec. The master does not block.
struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

// A terminal of `size` that belongs to `owner`. kTooManyExecs when the guest has no more.
absl::StatusOr<Terminal> OpenTerminal(const agent::v1::TerminalSize& size, uint32_t owner);

// Sends SIGWINCH to the foreground group when the size is another. 0 to 65535 each.
absl::Status ResizeTerminal(int master, const agent::v1::TerminalSize& size);

// The byte that means end of file to a reader of the terminal, as its program has set it.
char EndOfFileCharacter(int master);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_TERMINAL_H_
