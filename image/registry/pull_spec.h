// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A PullJob, checked, in our own types.

#ifndef MSB_IMAGE_REGISTRY_PULL_SPEC_H_
#define MSB_IMAGE_REGISTRY_PULL_SPEC_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/blob/digest.h"
#include "image/manifest/manifest.h"
#include "image/registry/registry_client.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

struct PullSpec {
  std::string reference;  // a tag or a digest
  Platform platform;
  std::set<Digest> present;
};

// Mirrors, then the registry.
using Endpoints = std::vector<std::unique_ptr<RegistryEndpoint>>;

// kInvalidArgument when repository, reference or platform is not one.
absl::StatusOr<PullSpec> CheckPullJob(const v1::PullJob& job);

// kInvalidArgument when a host or a CA certificate is not one.
absl::StatusOr<Endpoints> MakeEndpoints(const v1::PullJob& job);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_PULL_SPEC_H_
