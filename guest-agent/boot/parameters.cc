// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/parameters.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

constexpr size_t kMaxHostnameBytes = 64;  // __NEW_UTS_LEN

absl::Status Bad(absl::string_view name, absl::string_view value) {
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("command line: msb.", name, "=", value, " is not known"));
}

absl::StatusOr<BootParameters::Overlay> ParseOverlay(absl::string_view value) {
  if (value == "auto") return BootParameters::Overlay::kAuto;
  if (value == "disk") return BootParameters::Overlay::kDisk;
  if (value == "tmpfs") return BootParameters::Overlay::kTmpfs;
  return Bad("overlay", value);
}

// "2,1a,9": hexadecimal digits. None is empty, and all have a place on a disk.
absl::StatusOr<std::vector<uint64_t>> ParseLayers(absl::string_view value) {
  constexpr size_t kMaxLayers = 255;  // as many partitions as a disk has
  constexpr uint64_t kMaxBlocks = uint64_t{1} << 40;
  std::vector<uint64_t> blocks;
  uint64_t sum = 0;
  for (const absl::string_view word : absl::StrSplit(value, ',')) {
    uint64_t count = 0;
    if (!absl::SimpleHexAtoi(word, &count) || count == 0 || count > kMaxBlocks - sum ||
        blocks.size() == kMaxLayers) {
      return Bad("layers", value);
    }
    sum += count;
    blocks.push_back(count);
  }
  return blocks;
}

absl::Status Set(absl::string_view name, absl::string_view value, BootParameters& parameters) {
  if (name == "overlay") {
    MSB_ASSIGN_OR_RETURN(parameters.overlay, ParseOverlay(value));
    return absl::OkStatus();
  }
  if (name == "parameters" && value == "host") {
    parameters.source = BootParameters::Source::kHost;
    return absl::OkStatus();
  }
  if (name == "layers") {
    MSB_ASSIGN_OR_RETURN(parameters.layer_blocks, ParseLayers(value));
    return absl::OkStatus();
  }
  const std::pair<absl::string_view, std::string*> strings[] = {
      {"root", &parameters.root},
      {"rootfstype", &parameters.root_type},
      {"overlay_device", &parameters.overlay_device},
      {"hostname", &parameters.hostname},
      {"address", &parameters.address},
      {"gateway", &parameters.gateway},
      {"dns", &parameters.dns},
      {"address6", &parameters.address6},
      {"gateway6", &parameters.gateway6},
  };
  for (const auto& [known, target] : strings) {
    if (name != known) continue;
    if (value.empty() || (name == "hostname" && value.size() > kMaxHostnameBytes)) {
      return Bad(name, value);
    }
    *target = std::string(value);
    return absl::OkStatus();
  }
  return Bad(name, value);
}

}  // namespace

absl::StatusOr<BootParameters> ParseBootParameters(absl::string_view command_line) {
  BootParameters parameters;
  for (absl::string_view word : absl::StrSplit(command_line, absl::ByAnyChar(" \t\n"))) {
    if (!absl::ConsumePrefix(&word, "msb.")) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(word, absl::MaxSplits('=', 1));
    MSB_RETURN_IF_ERROR(Set(parts.first, parts.second, parameters));
  }
  return parameters;
}

}  // namespace msb
