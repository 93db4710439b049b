// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Words that describe a mount: "SOURCE:PATH[:OPTIONS]", and "PATH[:SIZE]" of memory.

#ifndef MSB_SDKS_MSBCTL_MOUNT_ARGUMENT_H_
#define MSB_SDKS_MSBCTL_MOUNT_ARGUMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "msb/v1/sandbox.pb.h"

namespace msb {

// What the source of a word without a hint is: a path of this host always, or only when it has a
// slash or begins with a dot, and else the name of a volume.
enum class MountSource { kHostPath, kPathOrVolume };

// SOURCE:PATH[:OPTION,...]; the options are ro, rw, quota=SIZE and, of the host's, uid=N and gid=N.
// A host's path may be relative to the working directory. kInvalidArgument.
absl::StatusOr<msb::v1::Mount> ParseMount(const std::string& word, MountSource source);

// PATH[:SIZE]. kInvalidArgument.
absl::StatusOr<msb::v1::Mount> ParseTmpfs(const std::string& word);

// So that none hides another: what lies above comes first, else the order is kept.
void SortMounts(google::protobuf::RepeatedPtrField<msb::v1::Mount>& mounts);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_MOUNT_ARGUMENT_H_
