// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Credentials for registries, as `docker login` and `podman login` keep them in the user's home.
// They are read here, by the user's own process, and go with a call; the daemon reads nobody's
// home.

#ifndef MSB_SDKS_MSBCTL_REGISTRY_LOGIN_H_
#define MSB_SDKS_MSBCTL_REGISTRY_LOGIN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/v1/image.pb.h"

namespace msb {

// The registry that an image's name means: "docker.io" for "debian".
std::string RegistryOf(absl::string_view image);

// The entry for `registry` of the text of a config.json; empty credentials when there is none.
// kInvalidArgument for what is no such file, with `path` in it.
absl::StatusOr<msb::v1::RegistryCredentials> LoginFrom(absl::string_view json,
                                                       absl::string_view registry,
                                                       absl::string_view path);

// That of the user's file: $DOCKER_CONFIG/config.json, ~/.docker/config.json. No file: empty.
absl::StatusOr<msb::v1::RegistryCredentials> LoginOf(absl::string_view registry);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_REGISTRY_LOGIN_H_
