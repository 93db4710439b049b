// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whom the programs of an image believe: a CA certificate is added where they look.

#ifndef MSB_GUEST_AGENT_BOOT_TRUST_STORES_H_
#define MSB_GUEST_AGENT_BOOT_TRUST_STORES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace msb {

// Adds `pem`, one certificate, to each bundle that the image has, in place of one that an earlier
// call added; keeps it as a file of its own too, /etc/microsandbox/ca.pem, and where the image's
// own tool (update-ca-certificates, update-ca-trust) takes additions from. `root`: "", or a
// directory that stands for it. Only what is on the mount of `root` is changed: what else is there
// a user has mounted, and it may be the host's.
//
// Returns variables ("NAME=value") for programs that do not look at the image's bundle by
// themselves. Those that replace a program's own list are left out when the image has no bundle:
// it would believe nobody else any more. kInvalidArgument for what is no certificate; the host's
// error where a bundle that is there cannot be changed.
absl::StatusOr<std::vector<std::string>> AddToTrustStores(const std::string& root,
                                                          const std::string& pem);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_TRUST_STORES_H_
