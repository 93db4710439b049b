// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/file_convert.h"

#include <algorithm>

#include "supervisor/api/utf8.h"

namespace msb {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

void SetTime(int64_t ns, google::protobuf::Timestamp& out) {
  int64_t seconds = ns / kNanosPerSecond;
  int64_t nanos = ns % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(nanos));
}

// Both enumerations have the same numbers; a guest may send any.
msb::v1::FileType TypeToProto(msb::agent::v1::FileType type) {
  const int number = static_cast<int>(type);
  return msb::v1::FileType_IsValid(number) ? static_cast<msb::v1::FileType>(number)
                                           : msb::v1::FILE_TYPE_OTHER;
}

}  // namespace

int64_t NanosecondsOf(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMostSeconds = INT64_MAX / kNanosPerSecond - 3;  // any int32 of nanos fits
  return std::clamp(time.seconds(), -kMostSeconds, kMostSeconds) * kNanosPerSecond + time.nanos();
}

msb::v1::FileInfo FileInfoToProto(const msb::agent::v1::FileInfo& info) {
  msb::v1::FileInfo out;
  out.set_name(Utf8OrReplaced(info.name()));
  out.set_path(Utf8OrReplaced(info.path()));
  out.set_type(TypeToProto(info.type()));
  out.set_size(info.size());
  out.set_mode(info.mode());
  out.set_uid(info.uid());
  out.set_gid(info.gid());
  SetTime(info.mtime_ns(), *out.mutable_modified_at());
  out.set_symlink_target(Utf8OrReplaced(info.symlink_target()));
  out.set_owner(Utf8OrReplaced(info.owner()));
  out.set_group(Utf8OrReplaced(info.group()));
  return out;
}

msb::v1::TreeEntry TreeEntryToProto(const msb::agent::v1::TreeEntry& entry) {
  msb::v1::TreeEntry out;
  out.set_path(entry.path());
  out.set_type(TypeToProto(entry.type()));
  out.set_mode(entry.mode());
  out.set_uid(entry.uid());
  out.set_gid(entry.gid());
  SetTime(entry.mtime_ns(), *out.mutable_modified_at());
  out.set_size(entry.size());
  out.set_symlink_target(entry.symlink_target());
  return out;
}

msb::agent::v1::TreeEntry TreeEntryToAgent(const msb::v1::TreeEntry& entry) {
  msb::agent::v1::TreeEntry out;
  out.set_path(entry.path());
  out.set_type(static_cast<msb::agent::v1::FileType>(entry.type()));
  out.set_mode(entry.mode());
  out.set_uid(entry.uid());
  out.set_gid(entry.gid());
  out.set_mtime_ns(NanosecondsOf(entry.modified_at()));
  out.set_size(entry.size());
  out.set_symlink_target(entry.symlink_target());
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
