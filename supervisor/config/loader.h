// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Configuration files to Config.

#ifndef MSB_SUPERVISOR_CONFIG_LOADER_H_
#define MSB_SUPERVISOR_CONFIG_LOADER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "supervisor/config/config.h"

namespace msb {

// Sets what `text` says, over what `config` holds. kConfigInvalid with one line per mistake, each
// "file:line: key: what and, for a near miss, what was meant".
absl::Status ApplyToml(absl::string_view text, absl::string_view file, Config& config);

// Defaults, then each of `files` over it, then the paths that follow from others and the checks
// between settings. A file that does not exist is passed over unless `required` is set.
enum class MissingFile { kError, kSkip };
absl::StatusOr<Config> LoadConfig(const std::vector<std::string>& files, MissingFile missing);

// /etc/microsandbox/config.toml and the user's own, from $XDG_CONFIG_HOME and $HOME.
std::vector<std::string> StandardConfigFiles();

}  // namespace msb

#endif  // MSB_SUPERVISOR_CONFIG_LOADER_H_
