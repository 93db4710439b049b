// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a client may ask for. Pure: nothing here looks at the host or at another sandbox.

#ifndef MSB_SUPERVISOR_SANDBOX_VALIDATE_H_
#define MSB_SUPERVISOR_SANDBOX_VALIDATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "msb/v1/sandbox.pb.h"
#include "msb/v1/volume.pb.h"
#include "supervisor/config/config.h"

namespace msb {

// [a-z0-9][a-z0-9_.-]*, at most 128 bytes. kInvalidName.
absl::Status ValidateSandboxName(absl::string_view name);
// The same letters. kInvalidArgument: a built-in image is a folder below the assets.
absl::Status ValidateImageName(absl::string_view name);
// The same, a registry's name of an image, or a digest. kInvalidArgument.
absl::Status ValidateImage(absl::string_view image);
// A name that a POSIX environment can carry, both free of NUL. kInvalidArgument.
absl::Status ValidateEnvVariable(absl::string_view name, absl::string_view value);
// Key 1 to 128 bytes of printable ASCII without '=', value at most 1024 bytes.
absl::Status ValidateLabel(absl::string_view key, absl::string_view value);
// Each of them, and at most 64.
absl::Status ValidateLabels(const msb::v1::SandboxSpec& spec);
// An absolute path of the guest, at most 4095 bytes, free of NUL. kPathInvalid.
absl::Status ValidateGuestPath(absl::string_view path);
// name, uid, name:group, uid:gid; empty is allowed. kInvalidArgument.
absl::Status ValidateUser(absl::string_view user);
absl::Status ValidateResources(const msb::v1::Resources& resources, const LimitsConfig& limits);

// kInvalidArgument unless `duration` is in the range of proto and not negative. Zero is zero.
absl::StatusOr<absl::Duration> DurationFromProto(const google::protobuf::Duration& duration,
                                                 absl::string_view what);
void DurationToProto(absl::Duration duration, google::protobuf::Duration& out);

// `spec` with every default of `config` filled in, checked. The name stays empty when it is.
absl::StatusOr<msb::v1::SandboxSpec> CompleteSpec(msb::v1::SandboxSpec spec, const Config& config);

// `changes` over `limits`: what is set there replaces.
absl::Status MergeLimits(const msb::v1::Limits& changes, msb::v1::Limits& limits);

// Of a volume that is to be made with `size_mib`.
absl::Status ValidateVolume(const msb::v1::CreateVolumeRequest& request, uint32_t size_mib,
                            const LimitsConfig& limits);

// Of an existing sandbox: a disk grows and never shrinks.
absl::Status ResizeDisk(uint32_t disk_mib, const LimitsConfig& limits,
                        msb::v1::Resources& resources);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_VALIDATE_H_
