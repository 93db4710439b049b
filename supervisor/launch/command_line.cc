// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/command_line.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace msb {
namespace {

// Warnings and worse: each line costs a guest on an emulated ring 0 milliseconds.
constexpr absl::string_view kQuiet = "quiet loglevel=4";

// /dev/vda is the first.
std::string DeviceOf(size_t index) {
  return absl::StrCat("/dev/vd", std::string(1, static_cast<char>('a' + index)));
}

constexpr uint64_t kBlockBytes = 4096;

// Sizes in blocks, in hexadecimal digits: 128 of them have to fit the kernel's 2 KiB.
std::string LayersOf(const std::vector<uint64_t>& layer_bytes) {
  return absl::StrJoin(layer_bytes, ",", [](std::string* out, uint64_t bytes) {
    absl::StrAppend(out, absl::Hex(bytes / kBlockBytes));
  });
}

}  // namespace

std::string GuestCommandLine(const LaunchSpec& spec, const std::vector<uint64_t>& layer_bytes) {
  std::string line(kQuiet);
  if (!spec.disks.empty()) {
    absl::StrAppend(&line, " msb.root=", DeviceOf(0), " msb.rootfstype=erofs");
    if (layer_bytes.size() > 1) absl::StrAppend(&line, " msb.layers=", LayersOf(layer_bytes));
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
