// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "supervisor/config/sections.h"

namespace msb {
namespace {

bool IsHost(absl::string_view word) {
  return !word.empty() && word.find_first_of("/=@ ") == absl::string_view::npos &&
         absl::AsciiStrToLower(word) == word;
}

bool IsMirror(absl::string_view word) {
  const size_t equals = word.find('=');
  return equals != absl::string_view::npos && IsHost(word.substr(0, equals)) &&
         IsHost(word.substr(equals + 1));
}

}  // namespace

std::vector<Setting> ImageSettings() {
  return {
      {"images", "pull_policy", "missing",
       ChoiceSetting{MSB_FIELD(images.pull_policy), {"missing", "always", "never"}},
       "When a sandbox is created: pull an image that the store does not have, each time, or "
       "never."},
      {"images", "mirrors", std::vector<std::string>(),
       ListSetting{MSB_FIELD(images.mirrors), "\"REGISTRY=HOST[:PORT]\"", IsMirror},
       "Hosts that are asked before a registry, in this order, without credentials."},
      {"images", "plain_http", std::vector<std::string>(),
       ListSetting{MSB_FIELD(images.plain_http), "\"HOST[:PORT]\"", IsHost},
       "Registries and mirrors that are asked without TLS: whoever is on the way may change what "
       "comes, and read credentials."},
      {"images", "skip_tls_verification", std::vector<std::string>(),
       ListSetting{MSB_FIELD(images.skip_tls_verification), "\"HOST[:PORT]\"", IsHost},
       "Registries and mirrors whose certificate is not verified."},
      {"images", "ca_file", "", TextSetting{MSB_FIELD(images.ca_file), true},
       "PEM file with certificates of authorities that are trusted beside the host's own. Read at "
       "each pull."},
      {"images", "store_mib", int64_t{0}, NumberSetting{MSB_FIELD(images.store_mib), 0, UINT32_MAX},
       "What all images may take of the disk, MiB. A pull or load that would need more fails. 0: "
       "no "
       "limit."},
      {"images", "partial_mib", int64_t{4096},
       NumberSetting{MSB_FIELD(images.partial_mib), 0, UINT32_MAX},
       "What is kept of pulls that broke off, for the next attempt, MiB. The oldest goes first."},
      {"images", "partial_age", "24h",
       DurationSetting{MSB_FIELD(images.partial_age), absl::ZeroDuration(), kLongest},
       "How long it is kept."},
      {"images", "parallel_jobs", int64_t{4}, NumberSetting{MSB_FIELD(images.parallel_jobs), 1, 64},
       "Pulls, loads and saves at the same time; more wait."},
      {"images", "parallel_downloads", int64_t{4},
       NumberSetting{MSB_FIELD(images.parallel_downloads), 1, 32}, "Layers of one pull."},
      {"images", "parallel_unpacks", int64_t{2},
       NumberSetting{MSB_FIELD(images.parallel_unpacks), 1, 64},
       "Layers that are made into file systems at the same time, of all images."},
      {"images", "max_names", int64_t{1000}, NumberSetting{MSB_FIELD(images.max_names), 1, 100'000},
       "Names of images that one user may have pulled, loaded or tagged. A name more fails."},
      {"images", "max_layers", int64_t{64}, NumberSetting{MSB_FIELD(images.max_layers), 1, 127},
       "Of one image."},
      {"images", "max_blob_mib", int64_t{16384},
       NumberSetting{MSB_FIELD(images.max_blob_mib), 1, kMaxMemoryMib},
       "Of one compressed layer, MiB."},
      {"images", "max_image_mib", int64_t{65536},
       NumberSetting{MSB_FIELD(images.max_image_mib), 1, kMaxMemoryMib},
       "Of all that a pull fetches, of what an archive holds, and of the file systems that are "
       "made "
       "of an image's layers, MiB."},
      {"images", "max_layer_mib", int64_t{65536},
       NumberSetting{MSB_FIELD(images.max_layer_mib), 1, kMaxMemoryMib},
       "Of one layer's file system, MiB."},
      {"images", "max_entries", int64_t{500'000},
       NumberSetting{MSB_FIELD(images.max_entries), 1, 16'000'000},
       "Files, folders and links of one layer."},
      {"images", "max_archive_entries", int64_t{32'768},
       NumberSetting{MSB_FIELD(images.max_archive_entries), 1, 1'000'000},
       "Of an archive that is loaded: some files an image and one a layer. Each is some 600 bytes "
       "of `memory_mib`."},
      {"images", "max_compression_ratio", int64_t{1100},
       NumberSetting{MSB_FIELD(images.max_compression_ratio), 2, 1'000'000},
       "Bytes of a layer to one compressed byte, beyond which it is a bomb. Deflate cannot do "
       "better "
       "than 1032."},
      {"images", "connect_timeout", "15s",
       DurationSetting{MSB_FIELD(images.connect_timeout), absl::Milliseconds(100), absl::Hours(1)},
       "For a connection to a registry."},
      {"images", "stall_timeout", "30s",
       DurationSetting{MSB_FIELD(images.stall_timeout), absl::Milliseconds(100), absl::Hours(1)},
       "Without a byte from a registry, whose connection is made anew then, or of a client's "
       "archive, which fails."},
      {"images", "max_attempts", int64_t{5}, NumberSetting{MSB_FIELD(images.max_attempts), 1, 100},
       "Of one blob; each goes on where the last one broke off."},
      {"images", "silence_timeout", "10m",
       DurationSetting{MSB_FIELD(images.silence_timeout), absl::Seconds(1), absl::Hours(24)},
       "A job that says nothing for so long is ended."},
      {"images", "memory_mib", int64_t{512},
       NumberSetting{MSB_FIELD(images.memory_mib), 64, kMaxMemoryMib},
       "Memory of one job's process, MiB."},
      {"images", "cpu_milli", int64_t{2000}, NumberSetting{MSB_FIELD(images.cpu_milli), 10, 64000},
       "CPU time per second of one job, in thousandths of a CPU."},
      {"images", "pids_max", int64_t{64}, NumberSetting{MSB_FIELD(images.pids_max), 4, 4096},
       "Processes and threads of one job."},
  };
}

}  // namespace msb
