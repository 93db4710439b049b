// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Host name, the files in /etc that every program expects to be right, and a few settings of the
// kernel.

#ifndef MSB_GUEST_AGENT_BOOT_SYSTEM_FILES_H_
#define MSB_GUEST_AGENT_BOOT_SYSTEM_FILES_H_

#include <string>

#include "guest-agent/boot/parameters.h"

namespace msb {

// Writes /etc/hosts when it is missing or empty, or does not know the host's own name (whose
// look-up would then ask the network); /etc/resolv.conf when the host names servers, or it is
// missing. `etc`: "/etc".
void MendSystemFiles(const std::string& etc, const BootParameters& parameters);

void SetHostname(const BootParameters& parameters);
void SetKernelSettings();

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_SYSTEM_FILES_H_
