// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Closing what a client may have filled with descriptors.

#ifndef MSB_SUPERVISOR_API_CLOSE_ASIDE_H_
#define MSB_SUPERVISOR_API_CLOSE_ASIDE_H_

#include <vector>

#include "base/unique_fd.h"

namespace msb {

// Closes `connection`, a Unix socket, and `passed`, what came along with its bytes. Whoever lets go
// of a descriptor last waits for what it is (SO_LINGER of a socket, the server of a network file
// system), and that may be for ever: where something came along, or may still lie unread in the
// connection, a thread of its own does it. From any thread.
void CloseAside(UniqueFd connection, std::vector<UniqueFd> passed = {});

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_CLOSE_ASIDE_H_
