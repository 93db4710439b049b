// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/command_line.h"

#include "absl/strings/str_cat.h"

namespace msb {
namespace {

// Warnings and worse: each line costs a guest on an emulated ring 0 milliseconds.
constexpr absl::string_view kQuiet = "quiet loglevel=4";

// /dev/vda is the first.
std::string DeviceOf(size_t index) {
  return absl::StrCat("/dev/vd", std::string(1, static_cast<char>('a' + index)));
}

}  // namespace

std::string GuestCommandLine(const LaunchSpec& spec) {
  std::string line(kQuiet);
  if (!spec.disks.empty()) {
    absl::StrAppend(&line, " msb.root=", DeviceOf(0), " msb.rootfstype=erofs");
    size_t layer = 0;
    while (layer < spec.disks.size() && spec.disks[layer].read_only) ++layer;
    if (layer < spec.disks.size()) {
      absl::StrAppend(&line, " msb.overlay=disk msb.overlay_device=", DeviceOf(layer));
    } else {
      absl::StrAppend(&line, " msb.overlay=tmpfs");
    }
  }
  if (!spec.command_line.empty()) absl::StrAppend(&line, " ", spec.command_line);
  return line;
}

}  // namespace msb
