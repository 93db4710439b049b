// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the host tells the agent at boot, on the kernel's command line or behind a boot snapshot
// (boot/README.md lists the words).

#ifndef MSB_GUEST_AGENT_BOOT_PARAMETERS_H_
#define MSB_GUEST_AGENT_BOOT_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

inline constexpr uint64_t kLayerBlockBytes = 4096;

struct BootParameters {
  enum class Overlay {
    kAuto,  // the disk when the guest has one, else memory
    kDisk,
    kTmpfs,
  };

  enum class Source {
    kCommandLine,  // these are the parameters
    kHost,         // of a boot snapshot: the host has them for each guest that goes on from it
  };

  Source source = Source::kCommandLine;
  std::string root = "/dev/vda";
  std::string root_type = "erofs";
  // Sizes of the file systems that `root` holds one after the other, the lowest first. Empty: it
  // is one.
  std::vector<uint64_t> layer_blocks;
  Overlay overlay = Overlay::kAuto;
  std::string overlay_device = "/dev/vdb";
  std::string hostname = "sandbox";
  // IPv4 of eth0 as "address/prefix", its gateway and its name servers (comma separated). Empty:
  // none.
  std::string address;
  std::string gateway;
  std::string dns;
  // The same of IPv6.
  std::string address6;
  std::string gateway6;
};

// Words that do not begin with "msb." are the kernel's. kInvalidArgument for one of ours that is
// not known, or has a value that cannot be: a typing error must not start another machine than was
// meant.
absl::StatusOr<BootParameters> ParseBootParameters(absl::string_view command_line);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_PARAMETERS_H_
