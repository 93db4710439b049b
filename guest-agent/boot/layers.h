// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The image's file systems, for the root's overlay.

#ifndef MSB_GUEST_AGENT_BOOT_LAYERS_H_
#define MSB_GUEST_AGENT_BOOT_LAYERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guest-agent/boot/parameters.h"

namespace msb {

// Mounts the image below the working directory, which is a file system in memory, and returns
// overlayfs's lowerdir: names relative to it, topmost first. The layers are one disk; each becomes
// a partition, since EROFS begins where its device does. What a layer says nothing below it is of
// (a root that is opaque) is left out.
absl::StatusOr<std::string> MountImage(const BootParameters& parameters);

// Where each of consecutive layers begins, in bytes, and behind them the end of all.
std::vector<uint64_t> LayerOffsets(const std::vector<uint64_t>& layer_blocks);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_LAYERS_H_
