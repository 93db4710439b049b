// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/file_convert.h"

#include "supervisor/api/utf8.h"

namespace msb {

msb::agent::v1::Open OpenOf(const msb::v1::ReadFileRequest& request) {
  msb::agent::v1::Open open;
  msb::agent::v1::ReadFile& read = *open.mutable_read_file();
  read.set_path(request.path());
  read.set_user(request.user());
  read.set_offset(request.offset());
  read.set_length(request.length());
  return open;
}

msb::agent::v1::Open OpenOf(const msb::v1::WriteFileOpen& request) {
  msb::agent::v1::Open open;
  msb::agent::v1::WriteFile& write = *open.mutable_write_file();
  write.set_path(request.path());
  write.set_user(request.user());
  write.set_mode(request.mode());
  write.set_append(request.append());
  write.set_make_parents(request.make_parents());
  write.set_mtime_ns(NanosecondsOf(request.modified_at()));
  return open;
}

msb::agent::v1::Open OpenOf(const msb::v1::ReadTreeRequest& request) {
  msb::agent::v1::Open open;
  msb::agent::v1::ReadTree& read = *open.mutable_read_tree();
  read.set_path(request.path());
  read.set_user(request.user());
  read.set_follow_top_symlink(request.follow_top_symlink());
  return open;
}

msb::agent::v1::Open OpenOf(const msb::v1::WriteTreeOpen& request) {
  msb::agent::v1::Open open;
  msb::agent::v1::WriteTree& write = *open.mutable_write_tree();
  write.set_path(request.path());
  write.set_user(request.user());
  write.set_keep_owner(request.keep_owner());
  return open;
}

msb::v1::FileInfo FileInfoToProto(const msb::agent::v1::FileInfo& info) {
  msb::v1::FileInfo out;
  out.set_name(Utf8OrReplaced(info.name()));
  out.set_path(Utf8OrReplaced(info.path()));
  out.set_type(FileTypeToProto(info.type()));
  out.set_size(info.size());
  out.set_mode(info.mode());
  out.set_uid(info.uid());
  out.set_gid(info.gid());
  *out.mutable_modified_at() = TimestampOf(info.mtime_ns());
  out.set_symlink_target(Utf8OrReplaced(info.symlink_target()));
  out.set_owner(Utf8OrReplaced(info.owner()));
  out.set_group(Utf8OrReplaced(info.group()));
  return out;
}

msb::v1::WatchEvent WatchEventToProto(const msb::agent::v1::WatchEvent& event) {
  msb::v1::WatchEvent out;
  const int kind = static_cast<int>(event.kind());
  if (msb::v1::WatchEvent::Kind_IsValid(kind)) {
    out.set_kind(static_cast<msb::v1::WatchEvent::Kind>(kind));
  }
  out.set_path(Utf8OrReplaced(event.path()));
  out.set_new_path(Utf8OrReplaced(event.new_path()));
  out.set_is_directory(event.is_directory());
  return out;
}

}  // namespace msb
