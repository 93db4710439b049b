// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Images: folders assets/images/<name> with image.json, and rootfs.erofs or the layers that it
// names.

#ifndef MSB_SUPERVISOR_SANDBOX_IMAGE_CONFIG_H_
#define MSB_SUPERVISOR_SANDBOX_IMAGE_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

// What the image says of the commands that run in it: the part of an OCI image configuration that
// starting needs.
struct ImageConfig {
  std::string name;
  std::vector<std::string> layers;  // paths of EROFS files, lowest first; at least one
  std::string digest;               // "sha256:..." of the file system, when the image says so
  uint64_t size_bytes = 0;
  std::map<std::string, std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string user;
  std::string workdir;
  int stop_signal = 0;  // 0: none of its own
};

// `json`: env as an object, or as OCI's list of "NAME=value". kImageInvalid.
absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json);

// "SIGUSR1", "usr1", "10" or "SIGRTMIN+3", as Docker takes them; the numbers are the guest's.
// Nothing is 0. kImageInvalid.
absl::StatusOr<int> ParseStopSignal(absl::string_view text);

// kInvalidArgument for what cannot be a name, kImageNotFound, kImageInvalid. Blocks.
absl::StatusOr<ImageConfig> LoadImage(const std::string& assets_directory, absl::string_view name);

// Whether there is a folder of this name, which is one that ValidateImageName takes.
bool IsBuiltInImage(const std::string& assets_directory, absl::string_view name);

// All images that can be read, by name. Blocks.
absl::StatusOr<std::vector<ImageConfig>> ListImages(const std::string& assets_directory);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_IMAGE_CONFIG_H_
