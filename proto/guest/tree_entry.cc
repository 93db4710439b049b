// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "proto/guest/tree_entry.h"

#include <algorithm>

namespace msb {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

int64_t NanosecondsOf(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMostSeconds = INT64_MAX / kNanosPerSecond - 3;  // any int32 of nanos fits
  return std::clamp(time.seconds(), -kMostSeconds, kMostSeconds) * kNanosPerSecond + time.nanos();
}

google::protobuf::Timestamp TimestampOf(int64_t ns) {
  int64_t seconds = ns / kNanosPerSecond;
  int64_t nanos = ns % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  google::protobuf::Timestamp time;
  time.set_seconds(seconds);
  time.set_nanos(static_cast<int32_t>(nanos));
  return time;
}

msb::v1::FileType FileTypeToProto(msb::agent::v1::FileType type) {
  const int number = static_cast<int>(type);
  return msb::v1::FileType_IsValid(number) ? static_cast<msb::v1::FileType>(number)
                                           : msb::v1::FILE_TYPE_OTHER;
}

msb::v1::TreeEntry TreeEntryToProto(const msb::agent::v1::TreeEntry& entry) {
  msb::v1::TreeEntry out;
  out.set_path(entry.path());
  out.set_type(FileTypeToProto(entry.type()));
  out.set_mode(entry.mode());
  out.set_uid(entry.uid());
  out.set_gid(entry.gid());
  *out.mutable_modified_at() = TimestampOf(entry.mtime_ns());
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

}  // namespace msb
