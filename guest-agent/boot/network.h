// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest's interfaces: loopback always, eth0 as the command line says.

#ifndef MSB_GUEST_AGENT_BOOT_NETWORK_H_
#define MSB_GUEST_AGENT_BOOT_NETWORK_H_

#include <netinet/in.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guest-agent/boot/parameters.h"

namespace msb {

struct Ipv4Network {
  in_addr address;
  in_addr netmask;
};

// Of "10.0.2.15/24". kInvalidArgument.
absl::StatusOr<Ipv4Network> ParseIpv4Network(absl::string_view text);

absl::Status BringUpLoopback();

// eth0, where the parameters have an address for it.
absl::Status SetUpNetwork(const BootParameters& parameters);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_NETWORK_H_
