// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/image_pull.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/exit_code.h"
#include "sdks/msbctl/pull_progress.h"
#include "sdks/msbctl/registry_login.h"

namespace msb {
namespace {

using msb::v1::PullPolicy;
using Stub = msb::v1::ImageService::Stub;

absl::StatusOr<PullPolicy> PolicyOf(const Client& client, const std::string& word) {
  if (word == "missing") return msb::v1::PULL_POLICY_MISSING;
  if (word == "always") return msb::v1::PULL_POLICY_ALWAYS;
  if (word == "never") return msb::v1::PULL_POLICY_NEVER;
  MSB_ASSIGN_OR_RETURN(const msb::v1::Info info,
                       client.Call(client.system(), &msb::v1::SystemService::Stub::GetInfo,
                                   msb::v1::GetInfoRequest()));
  return info.pull_policy();
}

}  // namespace

absl::StatusOr<msb::v1::Image> PullImage(const Client& client,
                                         const msb::v1::PullImageRequest& request, ShowPull show) {
  const std::unique_ptr<grpc::ClientContext> context = client.NewContext();
  const auto reader = client.images().Pull(context.get(), request);
  std::optional<PullProgressView> view;
  if (show == ShowPull::kProgress) view.emplace();
  msb::v1::PullImageResponse response;
  msb::v1::Image image;
  while (reader->Read(&response)) {
    if (response.has_done()) image = response.done();
    if (show == ShowPull::kJson) {
      std::fputs(ToJsonLine(response).c_str(), stdout);
      std::fflush(stdout);  // who reads it reads along
    }
    if (view && response.has_progress()) view->Show(response.progress());
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Client::Outcome(status, *context);
  return image;
}

absl::Status ProvideImage(const Client& client, const std::string& policy,
                          msb::v1::CreateRequest& request) {
  const std::string& image = request.spec().image();
  if (image.empty() || policy == "never") {  // the daemon sees to its own
    if (policy.empty()) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(const PullPolicy given, PolicyOf(client, policy));
    request.set_pull(given);
    return absl::OkStatus();
  }
  msb::v1::GetImageRequest get;
  get.set_image(image);
  const auto found = client.Call(client.images(), &Stub::Get, get);
  if (!found.ok() && ReasonOf(found.status()) != Reason::kImageNotFound) return found.status();
  if (found.ok() && found->built_in()) return absl::OkStatus();
  MSB_ASSIGN_OR_RETURN(const PullPolicy wanted, PolicyOf(client, policy));
  request.set_pull(msb::v1::PULL_POLICY_NEVER);
  if (wanted == msb::v1::PULL_POLICY_NEVER) return absl::OkStatus();
  if (found.ok() && wanted != msb::v1::PULL_POLICY_ALWAYS) return absl::OkStatus();
  msb::v1::PullImageRequest pull;
  pull.set_image(image);
  MSB_ASSIGN_OR_RETURN(*pull.mutable_credentials(), LoginOf(RegistryOf(image)));
  return PullImage(client, pull, ShowPull::kProgress).status();
}

}  // namespace msb
