// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Any bytes as a CreateRequest: what passes validation is whole, and passes it again unchanged, as
// a specification from the journal does.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "google/protobuf/util/message_differencer.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/settings.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

void CheckWhole(const msb::v1::SandboxSpec& spec, const Config& config) {
  MSB_CHECK(spec.name().empty() || ValidateSandboxName(spec.name()).ok());
  MSB_CHECK(ValidateImage(spec.image()).ok());
  MSB_CHECK(ValidateResources(spec.resources(), config.limits).ok());
  MSB_CHECK(spec.engine() != msb::v1::ENGINE_UNSPECIFIED);
  MSB_CHECK(spec.limits().has_idle_timeout() && spec.limits().has_lifetime());
  MSB_CHECK(MountRequestOf(spec).mounts_size() == spec.mounts_size());
}

void Feed(const std::string& bytes) {
  static const Config config = DefaultConfig();
  msb::v1::CreateRequest request;
  if (!request.ParseFromString(bytes)) return;
  const absl::StatusOr<msb::v1::SandboxSpec> spec = CompleteSpec(request.spec(), config);
  if (!spec.ok()) {
    MSB_CHECK(!spec.status().message().empty());
    return;
  }
  CheckWhole(*spec, config);
  const absl::StatusOr<msb::v1::SandboxSpec> again = CompleteSpec(*spec, config);
  MSB_CHECK(again.ok());
  MSB_CHECK(google::protobuf::util::MessageDifferencer::Equals(*again, *spec));
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Feed(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
