// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// sd_notify(3), for systemd and for whoever else sets NOTIFY_SOCKET.

#ifndef MSB_SUPERVISOR_DAEMON_NOTIFY_H_
#define MSB_SUPERVISOR_DAEMON_NOTIFY_H_

#include "absl/strings/string_view.h"

namespace msb {

// Sends `state`, such as "READY=1", to the socket named by NOTIFY_SOCKET; nothing where that is not
// set. A failure is logged: nobody's service depends on it.
void NotifySupervisor(absl::string_view state);

}  // namespace msb

#endif  // MSB_SUPERVISOR_DAEMON_NOTIFY_H_
