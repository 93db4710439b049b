// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/file_operation.h"

#include <string>

#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/users/thread_identity.h"

namespace msb {
namespace {

using agent::v1::Open;

const std::string& UserOf(const Open& open) {
  static const std::string& none = *new std::string();
  switch (open.operation_case()) {
    case Open::kReadFile:
      return open.read_file().user();
    case Open::kWriteFile:
      return open.write_file().user();
    case Open::kStat:
      return open.stat().user();
    case Open::kListDirectory:
      return open.list_directory().user();
    case Open::kMakeDirectory:
      return open.make_directory().user();
    case Open::kRemove:
      return open.remove().user();
    case Open::kRename:
      return open.rename().user();
    case Open::kWatch:
      return open.watch().user();
    case Open::kReadTree:
      return open.read_tree().user();
    case Open::kWriteTree:
      return open.write_tree().user();
    default:
      return none;
  }
}

absl::StatusOr<agent::v1::Done> Dispatch(const Open& open, UserDatabase& users,
                                         FileChannel& channel) {
  switch (open.operation_case()) {
    case Open::kReadFile:
      return RunReadFile(open.read_file(), channel);
    case Open::kWriteFile:
      return RunWriteFile(open.write_file(), channel);
    case Open::kStat:
      return RunStat(open.stat(), users, channel);
    case Open::kListDirectory:
      return RunListDirectory(open.list_directory(), users, channel);
    case Open::kMakeDirectory:
      return RunMakeDirectory(open.make_directory());
    case Open::kRemove:
      return RunRemove(open.remove());
    case Open::kRename:
      return RunRename(open.rename());
    case Open::kWatch:
      return RunWatch(open.watch(), channel);
    case Open::kReadTree:
      return RunReadTree(open.read_tree(), channel);
    case Open::kWriteTree:
      return RunWriteTree(open.write_tree(), channel);
    default:
      return MakeError(Reason::kAgentProtocol, "no file operation");
  }
}

}  // namespace

absl::StatusOr<agent::v1::Done> RunFileRequest(const Open& open, UserDatabase& users,
                                               FileChannel& channel) {
  ThreadIdentity thread;
  if (!UserOf(open).empty()) {
    MSB_ASSIGN_OR_RETURN(const Identity identity, users.Resolve(UserOf(open)));
    MSB_RETURN_IF_ERROR(thread.Take(identity));
  }
  return Dispatch(open, users, channel);
}

}  // namespace msb
