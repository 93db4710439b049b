// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a guest says went wrong, made fit for a client: a hostile agent chooses every byte of it.

#ifndef MSB_PROTO_GUEST_GUEST_ERROR_H_
#define MSB_PROTO_GUEST_GUEST_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// A reason that is the host's to give (a sandbox that does not exist, a broken jail) becomes
// kAgentProtocol; the text is cut and freed of control characters.
absl::Status StatusFromGuest(const msb::agent::v1::Error& error);

}  // namespace msb

#endif  // MSB_PROTO_GUEST_GUEST_ERROR_H_
