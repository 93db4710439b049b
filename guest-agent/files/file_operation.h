// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One file operation from its request to its last frame, on the calling thread.

#ifndef MSB_GUEST_AGENT_FILES_FILE_OPERATION_H_
#define MSB_GUEST_AGENT_FILES_FILE_OPERATION_H_

#include "absl/status/statusor.h"
#include "guest-agent/files/file_channel.h"
#include "guest-agent/users/user_database.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Takes the identity of the operation's user for its time. The last frame, `done` or `error`, is
// the caller's to send.
absl::StatusOr<agent::v1::Done> RunFileRequest(const agent::v1::Open& open, UserDatabase& users,
                                               FileChannel& channel);

// The operations, each with the rights of the calling thread. Errors as file_error.h gives them.
absl::StatusOr<agent::v1::Done> RunReadFile(const agent::v1::ReadFile& request,
                                            FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunWriteFile(const agent::v1::WriteFile& request,
                                             FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunStat(const agent::v1::Stat& request, UserDatabase& users,
                                        FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunListDirectory(const agent::v1::ListDirectory& request,
                                                 UserDatabase& users, FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunMakeDirectory(const agent::v1::MakeDirectory& request);
absl::StatusOr<agent::v1::Done> RunRemove(const agent::v1::Remove& request);
absl::StatusOr<agent::v1::Done> RunRename(const agent::v1::Rename& request);
absl::StatusOr<agent::v1::Done> RunWatch(const agent::v1::Watch& request, FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunReadTree(const agent::v1::ReadTree& request,
                                            FileChannel& channel);
absl::StatusOr<agent::v1::Done> RunWriteTree(const agent::v1::WriteTree& request,
                                             FileChannel& channel);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_FILE_OPERATION_H_
