// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Pulling an image with its progress shown: `image pull`, and what `run` and `create` do first.

#ifndef MSB_SDKS_MSBCTL_IMAGE_PULL_H_
#define MSB_SDKS_MSBCTL_IMAGE_PULL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/v1/image.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "sdks/msbctl/client.h"
#include "sdks/msbctl/output.h"

namespace msb {

enum class ShowPull { kNothing, kProgress, kJson };

// Ctrl-C ends the call, and the program with it.
absl::StatusOr<msb::v1::Image> PullImage(const Client& client,
                                         const msb::v1::PullImageRequest& request, ShowPull show);

// Pulls the image of a sandbox that is about to be made, when `policy` ("missing", "always",
// "never"; empty: the daemon's) says so, and tells the daemon in `request` not to do it again.
absl::Status ProvideImage(const Client& client, const std::string& policy,
                          msb::v1::CreateRequest& request);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_IMAGE_PULL_H_
